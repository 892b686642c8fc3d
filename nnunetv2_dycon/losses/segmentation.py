"""Losses of segmentations within masks: nnU-Net's Dice and cross-entropy, and the mean teacher's squared distance."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from nnunetv2_dycon.losses.label_space import Classes, LabelSpace, Regions, check_labels
from nnunetv2_dycon.losses.numerics import check_voxel_map, compute_dtype, without_autocast
from nnunetv2_dycon.losses.reduction import WHOLE_BATCH, Reduction

_SMOOTH = 1e-5  # nnUNetTrainer._build_loss


def dice_and_cross_entropy(
    logits: Tensor,
    target: Tensor,
    masks: Sequence[Tensor],
    *,
    labels: LabelSpace = Classes(),
    batch_dice: bool = False,
    reduction: Reduction = WHOLE_BATCH,
) -> list[Tensor]:
    """``1 - Dice + cross-entropy`` of the voxels in each mask, or weighted by it.

    The loss of nnUNetTrainer (``DC_and_CE_loss`` and ``DC_and_BCE_loss``) plus 1, so that its least value is 0, and
    restricted to a mask without waiting for the device. As there, Dice leaves out background, and a class that is
    nowhere in the mask takes part in the mean. Computed in float32 (float64 for float64 logits), also under
    autocast.

    Args:
        logits: (B, C, *spatial), any floating point type.
        target: (B, 1, *spatial) integer classes; what it is outside all masks does not matter. For regions
            (B, C, *spatial), booleans or 0 and 1.
        masks: each (B, 1, *spatial), boolean or weights in [0, 1]; no gradient passes.
        labels: what the channels mean.
        batch_dice: one Dice over the batch instead of the mean of one per patch.
        reduction: completes sums over the batch; by default this process has all of it.

    Returns:
        A scalar for each mask, at least 0. For a mask that is 0 everywhere, it and its gradient are exactly zero.

    Raises:
        TypeError: if `labels` are of another kind.
        ValueError: if shapes do not match.
    """
    check_labels(labels)
    check_voxel_map("target", target, logits, (logits.shape[1] if isinstance(labels, Regions) else 1,))
    for mask in masks:
        check_voxel_map("mask", mask, logits)
    with without_autocast(logits):
        cross_entropy, probabilities, truth = cross_entropy_and_probabilities(logits, target, labels)
        losses = []
        for mask in masks:
            total, count = reduction.sum((cross_entropy * mask).sum(), mask.sum())
            dice = _dice(probabilities, truth, mask, batch_dice, reduction)
            losses.append(1 - dice + total / count.clamp_min(1))
        return losses


def cross_entropy_and_probabilities(
    logits: Tensor, target: Tensor, labels: LabelSpace
) -> tuple[Tensor, Tensor, Tensor]:
    """What nnU-Net's loss is made of, voxel by voxel, in float32 (float64 for float64 logits); call without autocast.

    Args:
        logits: (B, C, *spatial), any floating point type.
        target: as for :func:`dice_and_cross_entropy`.
        labels: what the channels mean.

    Returns:
        The cross-entropy of each voxel, that of regions as a mean over them, (B, 1, *spatial); and for each class but
        the background, or each region, its probability and 1 where the target has it, else 0, (B, C - 1 or C,
        *spatial).
    """
    _, channels, *spatial = logits.shape
    logits = logits.to(compute_dtype(logits))
    if isinstance(labels, Regions):
        truth = target.to(logits.dtype)
        cross_entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
        return cross_entropy.mean(1, keepdim=True), logits.sigmoid(), truth
    classes = target.long()
    log_probabilities = logits.log_softmax(1)
    # A class beyond the last is the ignore label's, which no mask contains.
    cross_entropy = -log_probabilities.gather(1, classes.clamp(0, channels - 1))
    foreground = torch.arange(1, channels, device=logits.device).view(-1, *[1] * len(spatial))
    return cross_entropy, log_probabilities[:, 1:].exp(), (classes == foreground).to(logits.dtype)


def softmax_mse(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    labels: LabelSpace = Classes(),
    mask: Tensor | None = None,
    reduction: Reduction = WHOLE_BATCH,
) -> Tensor:
    """``mean (p_student - p_teacher)^2`` over voxels and channels.

    Source: Tarvainen and Valpola 2017 (arXiv:1703.01780); with a mask, Yu et al., MICCAI 2019 (arXiv:1907.07034).
    Computed in float32 (float64 for float64 logits), also under autocast.

    Args:
        student_logits: (B, C, *spatial), any floating point type.
        teacher_logits: as `student_logits`; receives no gradient.
        labels: what the channels mean.
        mask: (B, 1, *spatial) or (B, C, *spatial) booleans, what the mean is taken over. If it is false everywhere, the
            loss and its gradient are exactly zero.
        reduction: completes sums over the batch; by default this process has all of it.

    Returns:
        The loss, a scalar in [0, 1].

    Raises:
        TypeError: if `labels` are of another kind.
        ValueError: if shapes do not match.
    """
    check_labels(labels)
    if student_logits.shape != teacher_logits.shape:
        raise ValueError(
            f"logits must be of one shape, not {tuple(student_logits.shape)} and {tuple(teacher_logits.shape)}"
        )
    channels, dtype = student_logits.shape[1], compute_dtype(student_logits)
    check_voxel_map("mask", mask, student_logits, (1, channels))
    with without_autocast(student_logits):
        student = labels.probabilities(student_logits.to(dtype))
        squared = (student - labels.probabilities(teacher_logits.detach().to(dtype))).square()
        if mask is None:
            return reduction.mean(squared)
        total, count = reduction.sum((squared * mask).sum(), mask.sum() * (channels // mask.shape[1]))
        return total / count.clamp_min(1)


def _dice(probabilities: Tensor, truth: Tensor, mask: Tensor, batch_dice: bool, reduction: Reduction) -> Tensor:
    predicted = (probabilities * mask).flatten(2)
    truth = truth.flatten(2)
    intersection = (predicted * truth).sum(2)
    total = predicted.sum(2) + (truth * mask.flatten(2)).sum(2)
    if batch_dice:
        intersection, total = reduction.sum(intersection.sum(0), total.sum(0))
        return ((2 * intersection + _SMOOTH) / (total + _SMOOTH)).mean()
    return reduction.mean((2 * intersection + _SMOOTH) / (total + _SMOOTH))
