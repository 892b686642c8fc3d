"""UnCL, the uncertainty-aware consistency loss of DyCON (arXiv:2504.04566)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from nnunetv2_dycon.losses.label_space import Classes, LabelSpace, Regions, check_labels
from nnunetv2_dycon.losses.numerics import check_voxel_map, compute_dtype, default_byte_budget, tile_length
from nnunetv2_dycon.losses.reduction import WHOLE_BATCH, Reduction
from nnunetv2_dycon.losses.voxel_distribution import certainty_weights, cross_entropy, voxel_distribution

Normalization = Literal["voxels", "classes"]
# Of the voxels that count. What student and teacher make of a class that neither of them sees anywhere is noise, which
# would have the same say as a structure otherwise.
SMALLEST_CLASS_SHARE = 1e-4
# The paper's largest: a voxel of two equally likely classes counts a thirtieth of a certain one.
CROSS_ENTROPY_BETA = 5.0


@dataclass(eq=False, repr=False, kw_only=True)
class UnCL(nn.Module):
    """DyCON's uncertainty-aware consistency loss (CVPR 2025, arXiv:2504.04566) of every voxel.

    The options are those of :func:`uncl_loss` and may be set as attributes at any time.
    In the paper, beta falls exponentially from 5 to 0.5 over the training: ``5 * (0.5 / 5) ** progress``.
    """

    labels: LabelSpace = Classes()
    normalization: Normalization = "voxels"
    entropy_weight: float = 1.0
    cross_entropy_weight: float = 0.0
    reduction: Reduction = WHOLE_BATCH

    def __post_init__(self) -> None:
        super().__init__()
        check_labels(self.labels)

    def forward(
        self, student_logits: Tensor, teacher_logits: Tensor, beta: float, *, mask: Tensor | None = None
    ) -> Tensor:
        """:func:`uncl_loss` with the options of this module."""
        options = {field.name: getattr(self, field.name) for field in fields(self)}
        return uncl_loss(student_logits, teacher_logits, beta, mask=mask, **options)


class UnCLTerms(NamedTuple):
    """The terms of UnCL, differentiable, and what is worth logging beside them, detached; all scalars.

    Attributes:
        distance: see :func:`uncl_terms`.
        entropy: mean over voxels of ``Hs + Ht`` in nats.
        cross_entropy: see :func:`uncl_terms`; in nats. It is no part of the paper's loss; 0 where it was not asked for.
        student_entropy: mean over voxels of ``Hs`` in nats.
        teacher_entropy: mean over voxels of ``Ht`` in nats.
    """

    distance: Tensor
    entropy: Tensor
    cross_entropy: Tensor
    student_entropy: Tensor
    teacher_entropy: Tensor


def uncl_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    beta: float,
    *,
    labels: LabelSpace = Classes(),
    mask: Tensor | None = None,
    normalization: Normalization = "voxels",
    entropy_weight: float = 1.0,
    cross_entropy_weight: float = 0.0,
    reduction: Reduction = WHOLE_BATCH,
) -> Tensor:
    """UnCL, a scalar: the weighted sum of the terms of :func:`uncl_terms`, which has the arguments.

    It is ``distance + entropy_weight * beta * entropy + cross_entropy_weight * cross_entropy``; with the default
    weights, the loss of the paper.
    """
    terms = uncl_terms(
        student_logits,
        teacher_logits,
        beta,
        labels=labels,
        mask=mask,
        normalization=normalization,
        with_cross_entropy=cross_entropy_weight != 0,
        reduction=reduction,
    )
    loss = terms.distance + entropy_weight * beta * terms.entropy
    return loss + cross_entropy_weight * terms.cross_entropy


def uncl_terms(
    student_logits: Tensor,
    teacher_logits: Tensor,
    beta: float,
    *,
    labels: LabelSpace = Classes(),
    mask: Tensor | None = None,
    normalization: Normalization = "voxels",
    with_cross_entropy: bool = False,
    reduction: Reduction = WHOLE_BATCH,
) -> UnCLTerms:
    r"""The terms of UnCL for every voxel of a batch.

    With the weight :math:`w = 1 / (e^{\beta H_s} + e^{\beta H_t})` of a voxel, the distance is the mean over voxels of
    :math:`w \sum_c (p_s - p_t)^2`, equation 2 of the paper, or, by classes,

    .. math::
        \operatorname{mean}_c \frac{\sum_i w_i (p_{s,ic} - p_{t,ic})^2}{\sum_i w_i (p_{s,ic}^2 + p_{t,ic}^2)}

    over the batch, for each class but the background, or each region. This is a soft Dice loss in which voxels count
    by their weight: the size of a structure does not matter, nor how much background lies around it. A ten
    thousandth of the voxels is added to the denominator, so that a class which neither sees does not count. The
    denominator is a constant for the gradient: a gradient through it rewards larger predictions wherever student and
    teacher disagree, the teacher follows its student, and the pseudo-labels grow.

    The cross-entropy is the mean over voxels of :math:`-2 w \sum_c p_t \log p_s`, where :math:`w` has
    :data:`CROSS_ENTROPY_BETA` for beta and is a constant for the gradient, which would reward uncertainty otherwise. A
    voxel counts once where student and teacher are certain, and next to nothing where one of them is not. Where both
    are sure and disagree, the distance hardly moves the student's logits; the cross-entropy does.

    The distribution of a voxel is the softmax over classes, or, for region-based training, one Bernoulli distribution
    per region (sigmoid) with the entropies summed. Everything is computed in float32 (float64 for float64 logits)
    whatever the logits' type and autocast. Nothing but the arguments is kept for backward, which recomputes, and both
    passes work on a small part of the voxels at a time.

    Args:
        student_logits: (B, C, X, Y) or (B, C, X, Y, Z), any floating point type.
        teacher_logits: as `student_logits`; receives no gradient.
        beta: strength of the uncertainty weighting, >= 0.
        labels: what the channels mean.
        mask: (B, *spatial) or (B, 1, *spatial), boolean or weights >= 0: means are taken over these voxels. If it is
            zero everywhere, all terms and their gradients are exactly zero.
        normalization: of the distance: ``voxels`` (the paper's) or ``classes``.
        with_cross_entropy: whether to compute the cross-entropy.
        reduction: completes sums over the batch; by default this process has all of it.

    Returns:
        The terms; gradients flow to `student_logits` from `distance`, `entropy` and `cross_entropy`.

    Raises:
        TypeError: if `labels` are of another kind.
        ValueError: if shapes do not match or `beta` is negative.
    """
    check_labels(labels)
    if student_logits.shape != teacher_logits.shape or student_logits.ndim < 3:
        raise ValueError(
            f"logits must both be (B, C, *spatial), not {tuple(student_logits.shape)} and {tuple(teacher_logits.shape)}"
        )
    if beta < 0:
        raise ValueError(f"beta must not be negative, but is {beta}")
    if normalization not in get_args(Normalization):
        raise ValueError(f"normalization must be 'voxels' or 'classes', not {normalization!r}")
    if mask is not None:
        check_voxel_map("mask", mask.unsqueeze(1) if mask.ndim == student_logits.ndim - 1 else mask, student_logits)
        mask = mask.detach().flatten(1)
    options = _Options(float(beta), labels, normalization == "classes", with_cross_entropy)
    terms = _UnCL.apply(student_logits, teacher_logits.detach(), mask, options, reduction)
    return UnCLTerms(*reduction.sum(*terms))


def _tiles(flat_logits: Tensor, with_cross_entropy: bool) -> Iterator[slice]:
    batch, channels, num_voxels = flat_logits.shape
    temporary_tensors = 7 if with_cross_entropy else 6
    bytes_per_voxel = temporary_tensors * batch * channels * compute_dtype(flat_logits).itemsize
    length = tile_length(bytes_per_voxel, default_byte_budget(flat_logits))
    return (slice(start, start + length) for start in range(0, num_voxels, length))


class _Options(NamedTuple):
    beta: float
    labels: LabelSpace
    by_classes: bool
    with_cross_entropy: bool


class _UnCL(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        student_logits: Tensor,
        teacher_logits: Tensor,
        mask: Tensor | None,
        options: _Options,
        reduction: Reduction,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        beta, labels, by_classes, with_cross_entropy = options
        # Of a batch that processes share, this is the part of each in the terms of all.
        dtype = compute_dtype(student_logits)
        student_flat, teacher_flat = student_logits.flatten(2), teacher_logits.flatten(2)
        # Those of student and teacher, and the weighted cross-entropy.
        entropies = student_flat.new_zeros(3, dtype=dtype)
        # Of the weighted squared differences and of the weighted squares, by class.
        differences, sizes = student_flat.new_zeros(2, student_flat.shape[1], dtype=dtype).unbind()
        for tile in _tiles(student_flat, with_cross_entropy):
            student = voxel_distribution(student_flat[:, :, tile].to(dtype), labels)
            teacher = voxel_distribution(teacher_flat[:, :, tile].to(dtype), labels)
            weights = certainty_weights(student, teacher, beta)
            voxels = None if mask is None else mask[:, tile].to(dtype)
            if voxels is not None:
                weights *= voxels
            for index, values in enumerate((student.entropy, teacher.entropy)):
                entropies[index] += values.sum() if voxels is None else (values * voxels).sum()
            if with_cross_entropy:
                cross_entropies = cross_entropy(student, teacher, labels)
                cross_entropies *= certainty_weights(student, teacher, CROSS_ENTROPY_BETA)
                entropies[2] += 2 * (cross_entropies if voxels is None else cross_entropies * voxels).sum()
            if by_classes:
                squares = student.probability.square().addcmul_(teacher.probability, teacher.probability)
                sizes += squares.mul_(weights.unsqueeze(1)).sum((0, 2))
            squares = student.probability.sub_(teacher.probability).square_()
            differences += squares.mul_(weights.unsqueeze(1)).sum((0, 2))
        total_weight = mask.sum(dtype=dtype) if mask is not None else sizes.new_full((), student_flat[:, 0].numel())
        total_weight, sizes = reduction.sum(total_weight, sizes)
        inverse_weight = torch.where(total_weight > 0, 1 / total_weight, 0)
        student_entropy, teacher_entropy, mean_cross_entropy = (entropies * inverse_weight).unbind()
        if by_classes:
            # Background has no part in the mean.
            counts = torch.arange(len(sizes), device=sizes.device) >= (0 if isinstance(labels, Regions) else 1)
            smallest = SMALLEST_CLASS_SHARE * total_weight.clamp_min(1)
            by_difference = counts / (counts.sum().clamp_min(1) * (sizes + smallest))
        else:
            by_difference = inverse_weight.expand_as(differences)
        distance = (differences * by_difference).sum()
        ctx.save_for_backward(student_logits, mask, inverse_weight, by_difference)
        # Tensors made in inference mode cannot be saved in the usual way, and a teacher is run in inference mode.
        ctx.teacher_logits = teacher_logits
        ctx.options = options
        entropy = student_entropy + teacher_entropy
        outputs = distance, entropy, mean_cross_entropy.clone(), student_entropy.clone(), teacher_entropy.clone()
        ctx.mark_non_differentiable(*outputs[3:])
        return outputs

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, distance_gradient: Tensor, entropy_gradient: Tensor, cross_entropy_gradient: Tensor, *_: Tensor
    ) -> tuple[Tensor | None, None, None, None, None]:
        student_logits, mask, inverse_weight, by_difference = ctx.saved_tensors
        dtype, (beta, labels, _, with_cross_entropy) = compute_dtype(student_logits), ctx.options
        student_flat, teacher_flat = student_logits.flatten(2), ctx.teacher_logits.flatten(2)
        gradient = torch.empty_like(student_flat, memory_format=torch.contiguous_format)
        by_difference = (by_difference * distance_gradient).view(1, -1, 1)
        entropy_gradient = entropy_gradient * inverse_weight
        cross_entropy_gradient = cross_entropy_gradient * inverse_weight
        for tile in _tiles(student_flat, with_cross_entropy):
            student = voxel_distribution(student_flat[:, :, tile].to(dtype), labels)
            teacher = voxel_distribution(teacher_flat[:, :, tile].to(dtype), labels)
            weights = certainty_weights(student, teacher, beta)
            difference = student.probability - teacher.probability
            # By a voxel's weight, and by the student's probabilities at a given weight.
            by_probability = difference * by_difference
            by_weight = (difference * by_probability).sum(1)
            # d weight / d Hs = -beta exp(beta Hs) weight^2, where exp(beta Hs) weight is a sigmoid.
            share = torch.sigmoid(beta * (student.entropy - teacher.entropy))
            by_entropy = by_weight.mul_(weights).mul_(share).mul_(-beta) + entropy_gradient
            weights.mul_(2)
            if mask is not None:
                by_entropy *= mask[:, tile]
                weights *= mask[:, tile]
            if isinstance(labels, Regions):
                slope = student.probability * (1 - student.probability)
            else:
                slope = student.probability
                by_probability -= (slope * by_probability).sum(1, keepdim=True)
            by_probability *= weights.unsqueeze(1)
            by_probability -= student.surplus * by_entropy.unsqueeze(1)
            by_probability *= slope
            if with_cross_entropy:
                # Its gradient is p_s - p_t, by twice a voxel's weight.
                weights = certainty_weights(student, teacher, CROSS_ENTROPY_BETA).mul_(2 * cross_entropy_gradient)
                if mask is not None:
                    weights *= mask[:, tile]
                by_probability.addcmul_(difference, weights.unsqueeze(1))
            gradient[:, :, tile] = by_probability
        return gradient.view(student_logits.shape), None, None, None, None
