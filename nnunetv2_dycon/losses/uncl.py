"""UnCL, the uncertainty-aware consistency loss of DyCON (arXiv:2504.04566)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from nnunetv2_dycon.losses.label_space import Classes, LabelSpace, Regions, bernoulli_entropy, check_labels
from nnunetv2_dycon.losses.numerics import check_voxel_map, compute_dtype, default_byte_budget, tile_length
from nnunetv2_dycon.losses.reduction import WHOLE_BATCH, Reduction

Normalization = Literal["voxels", "classes"]
# Of the voxels that count. What student and teacher make of a class that neither of them sees anywhere is noise, which
# would have the same say as a structure otherwise.
SMALLEST_CLASS_SHARE = 1e-4


@dataclass(eq=False, repr=False, kw_only=True)
class UnCL(nn.Module):
    """DyCON's uncertainty-aware consistency loss (CVPR 2025, arXiv:2504.04566) of every voxel.

    The options are those of :func:`uncl_loss` and may be set as attributes at any time.
    In the paper, beta falls exponentially from 5 to 0.5 over the training: ``5 * (0.5 / 5) ** progress``.
    """

    labels: LabelSpace = Classes()
    normalization: Normalization = "voxels"
    entropy_weight: float = 1.0
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
    """The two terms of UnCL, differentiable, and what is worth logging beside them, detached; all scalars.

    Attributes:
        distance: see :func:`uncl_terms`.
        entropy: mean over voxels of ``Hs + Ht`` in nats.
        student_entropy: mean over voxels of ``Hs`` in nats.
        teacher_entropy: mean over voxels of ``Ht`` in nats.
    """

    distance: Tensor
    entropy: Tensor
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
    reduction: Reduction = WHOLE_BATCH,
) -> Tensor:
    """UnCL, a scalar: ``distance + entropy_weight * beta * entropy`` of :func:`uncl_terms`, which has the arguments.

    An `entropy_weight` of 1 is the loss of the paper.
    """
    terms = uncl_terms(
        student_logits,
        teacher_logits,
        beta,
        labels=labels,
        mask=mask,
        normalization=normalization,
        reduction=reduction,
    )
    return terms.distance + entropy_weight * beta * terms.entropy


def uncl_terms(
    student_logits: Tensor,
    teacher_logits: Tensor,
    beta: float,
    *,
    labels: LabelSpace = Classes(),
    mask: Tensor | None = None,
    normalization: Normalization = "voxels",
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
        reduction: completes sums over the batch; by default this process has all of it.

    Returns:
        The terms; gradients flow to `student_logits` from `distance` and `entropy`.

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
    by_classes = normalization == "classes"
    terms = _UnCL.apply(student_logits, teacher_logits.detach(), mask, float(beta), labels, by_classes, reduction)
    return UnCLTerms(*reduction.sum(*terms))


class _Distribution(NamedTuple):
    """The distribution of each voxel, or for regions its distributions."""

    probability: Tensor  # p, (B, C, V)
    # By how much a logit exceeds its mean under p (classes) or zero (regions), (B, C, V). For classes this is
    # log p + H: the entropy's slope is -p * surplus, or -p (1 - p) * surplus for regions.
    surplus: Tensor
    entropy: Tensor  # H in nats, (B, V)


def _distribution(logits: Tensor, labels: LabelSpace) -> _Distribution:
    if isinstance(labels, Regions):
        return _Distribution(logits.sigmoid(), logits, bernoulli_entropy(logits).sum(1))
    shifted = logits - logits.amax(1, keepdim=True)
    probability = shifted.exp()
    partition = probability.sum(1, keepdim=True)
    probability /= partition
    mean = (probability * shifted).sum(1, keepdim=True)
    return _Distribution(probability, shifted.sub_(mean), partition.log_().sub_(mean).squeeze(1))


def _voxel_weights(student: _Distribution, teacher: _Distribution, beta: float) -> Tensor:
    """``1 / (exp(beta Hs) + exp(beta Ht))``, (B, V).

    The entropies of many regions may overflow an exponential; the quotient is then zero, which is its value in float32.
    """
    return torch.exp(beta * student.entropy).add_(torch.exp(beta * teacher.entropy)).reciprocal_()


def _tiles(flat_logits: Tensor) -> Iterator[slice]:
    batch, channels, num_voxels = flat_logits.shape
    temporary_tensors = 6
    bytes_per_voxel = temporary_tensors * batch * channels * compute_dtype(flat_logits).itemsize
    length = tile_length(bytes_per_voxel, default_byte_budget(flat_logits))
    return (slice(start, start + length) for start in range(0, num_voxels, length))


class _UnCL(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        student_logits: Tensor,
        teacher_logits: Tensor,
        mask: Tensor | None,
        beta: float,
        labels: LabelSpace,
        by_classes: bool,
        reduction: Reduction,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        # Of a batch that processes share, this is the part of each in the terms of all.
        dtype = compute_dtype(student_logits)
        student_flat, teacher_flat = student_logits.flatten(2), teacher_logits.flatten(2)
        entropies = student_flat.new_zeros(2, dtype=dtype)
        # Of the weighted squared differences and of the weighted squares, by class.
        differences, sizes = student_flat.new_zeros(2, student_flat.shape[1], dtype=dtype).unbind()
        for tile in _tiles(student_flat):
            student = _distribution(student_flat[:, :, tile].to(dtype), labels)
            teacher = _distribution(teacher_flat[:, :, tile].to(dtype), labels)
            weights = _voxel_weights(student, teacher, beta)
            voxels = None if mask is None else mask[:, tile].to(dtype)
            if voxels is not None:
                weights *= voxels
            for index, values in enumerate((student.entropy, teacher.entropy)):
                entropies[index] += values.sum() if voxels is None else (values * voxels).sum()
            if by_classes:
                squares = student.probability.square().addcmul_(teacher.probability, teacher.probability)
                sizes += squares.mul_(weights.unsqueeze(1)).sum((0, 2))
            squares = student.probability.sub_(teacher.probability).square_()
            differences += squares.mul_(weights.unsqueeze(1)).sum((0, 2))
        total_weight = mask.sum(dtype=dtype) if mask is not None else sizes.new_full((), student_flat[:, 0].numel())
        total_weight, sizes = reduction.sum(total_weight, sizes)
        inverse_weight = torch.where(total_weight > 0, 1 / total_weight, 0)
        student_entropy, teacher_entropy = (entropies * inverse_weight).unbind()
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
        ctx.beta, ctx.labels = beta, labels
        outputs = distance, student_entropy + teacher_entropy, student_entropy.clone(), teacher_entropy.clone()
        ctx.mark_non_differentiable(*outputs[2:])
        return outputs

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, distance_gradient: Tensor, entropy_gradient: Tensor, *_: Tensor
    ) -> tuple[Tensor | None, None, None, None, None, None, None]:
        student_logits, mask, inverse_weight, by_difference = ctx.saved_tensors
        dtype, beta, labels = compute_dtype(student_logits), ctx.beta, ctx.labels
        student_flat, teacher_flat = student_logits.flatten(2), ctx.teacher_logits.flatten(2)
        gradient = torch.empty_like(student_flat, memory_format=torch.contiguous_format)
        by_difference = (by_difference * distance_gradient).view(1, -1, 1)
        entropy_gradient = entropy_gradient * inverse_weight
        for tile in _tiles(student_flat):
            student = _distribution(student_flat[:, :, tile].to(dtype), labels)
            teacher = _distribution(teacher_flat[:, :, tile].to(dtype), labels)
            weights = _voxel_weights(student, teacher, beta)
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
            torch.mul(by_probability, slope, out=gradient[:, :, tile])
        return gradient.view(student_logits.shape), None, None, None, None, None, None
