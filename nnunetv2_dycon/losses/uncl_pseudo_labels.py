"""UnCL with hard targets: the teacher's pseudo-labels, in which voxels count by its certainty."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from nnunetv2_dycon.losses.label_space import Classes, LabelSpace
from nnunetv2_dycon.losses.numerics import compute_dtype, without_autocast
from nnunetv2_dycon.losses.reduction import WHOLE_BATCH, Reduction
from nnunetv2_dycon.losses.segmentation import cross_entropy_and_probabilities
from nnunetv2_dycon.losses.uncl import SMALLEST_CLASS_SHARE


class PseudoLabelTerms(NamedTuple):
    """The loss, differentiable, and what is worth logging beside it, detached; all scalars.

    Attributes:
        loss: see :func:`uncl_of_pseudo_labels`.
        student_entropy: mean over voxels in nats.
        teacher_entropy: mean over voxels in nats.
        confident_fraction: of the voxels, those that count.
    """

    loss: Tensor
    student_entropy: Tensor
    teacher_entropy: Tensor
    confident_fraction: Tensor


def uncl_of_pseudo_labels(
    student_logits: Tensor,
    teacher_logits: Tensor,
    beta: float,
    *,
    labels: LabelSpace = Classes(),
    mask: Tensor | None = None,
    confidence: float = 0.0,
    reduction: Reduction = WHOLE_BATCH,
) -> PseudoLabelTerms:
    r"""Distance and cross-entropy to what the teacher takes for most probable, with UnCL's weights.

    The distance is that of :func:`uncl_terms` by classes, with the pseudo-label :math:`y` in place of the teacher's
    probability,

    .. math::
        \operatorname{mean}_c \frac{\sum_i w_i (p_{s,ic} - y_{ic})^2}{\sum_i w_i (p_{s,ic}^2 + y_{ic})}

    with a constant denominator too: nnU-Net's Dice, whose denominator has a gradient, rewards larger predictions
    wherever student and teacher disagree, and from pseudo-labels that grow a student learns to grow. The cross-entropy
    is nnU-Net's, the mean over voxels of :math:`-\log p_{s,iy}`.

    In both a voxel counts by :math:`w = e^{-\beta H_t}`, twice UnCL's weight
    :math:`1 / (e^{\beta H_s} + e^{\beta H_t})` for a student as certain as its teacher; with the student's own entropy
    in it, voxels on which the student is unsure would be those that it does not learn. Voxels on which the teacher's
    confidence is below a threshold do not count (Sohn et al., FixMatch, NeurIPS 2020, arXiv:2001.07685). Computed in
    float32 (float64 for float64 logits), also under autocast.

    Args:
        student_logits: (B, C, *spatial), any floating point type.
        teacher_logits: as `student_logits`; receives no gradient.
        beta: strength of the uncertainty weighting, >= 0.
        labels: what the channels mean.
        mask: (B, 1, *spatial), boolean or weights >= 0: how voxels count beside.
        confidence: the least probability of the teacher's class, or of each of its regions, with which a voxel counts.
        reduction: completes sums over the batch; by default this process has all of it.

    Returns:
        The terms; gradients flow to `student_logits` from the loss. Where no voxel counts, it and its gradient are
        zero.

    Raises:
        TypeError: if `labels` are of another kind.
        ValueError: if shapes do not match or `beta` is negative.
    """
    if beta < 0:
        raise ValueError(f"beta must not be negative, but is {beta}")
    with torch.no_grad(), without_autocast(teacher_logits):
        teacher = teacher_logits.to(compute_dtype(teacher_logits))
        teacher_entropy = labels.entropy(teacher).unsqueeze(1)
        confident = labels.confidence(labels.probabilities(teacher)) >= confidence
        weights = torch.exp(-beta * teacher_entropy) * confident
        if mask is not None:
            weights = weights * mask
        student_entropy = labels.entropy(student_logits)
    with without_autocast(student_logits):
        cross_entropy, probabilities, pseudo_labels = cross_entropy_and_probabilities(
            student_logits, labels.harden(teacher_logits), labels
        )
        over_voxels = [0, *range(2, probabilities.ndim)]
        squared = (weights * (probabilities - pseudo_labels).square()).sum(over_voxels)
        sizes = (weights * (probabilities.detach().square() + pseudo_labels)).sum(over_voxels)
        squared, sizes, total, count = reduction.sum(squared, sizes, (weights * cross_entropy).sum(), weights.sum())
        # Where no voxel counts, all sums are 0.
        smallest = (SMALLEST_CLASS_SHARE * count).clamp_min(SMALLEST_CLASS_SHARE)
        loss = (squared / (sizes + smallest)).mean() + total / count.clamp_min(1)
    means = [reduction.mean(values) for values in (student_entropy, teacher_entropy, confident.float())]
    return PseudoLabelTerms(loss, *means)
