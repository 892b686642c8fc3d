"""GALoss (Qi et al., ECCV 2024): Dice and cross-entropy whose gradients do not drown rare classes.

For classes (softmax). Source: "Gradient-Aware for Class-Imbalanced Semi-supervised Medical Image Segmentation" and its
released code. Both losses compute in float32 (float64 for float64 logits), also under autocast, and never wait for the
device.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from nnunetv2_dycon.losses.numerics import check_voxel_map, compute_dtype, without_autocast
from nnunetv2_dycon.losses.reduction import WHOLE_BATCH, Reduction


def gadice_loss(
    logits: Tensor, target: Tensor, *, ignored: Tensor | None = None, reduction: Reduction = WHOLE_BATCH
) -> Tensor:
    r"""Soft Dice loss in which a class that is absent from the batch is pushed down gently.

    The mean over all classes, background included, each over the voxels i of the whole batch, of

    .. math::
        1 - \frac{2 \sum_i p_i y_i}{\sum_i p_i^2 + \sum_i y_i}

    for a class that is present in the target, and of :math:`\frac{1}{N} \sum_i \operatorname{sg}(p_i) \, p_i` for an
    absent one, whose Dice loss would be 1 wherever the prediction is not zero. N is the number of voxels and sg stops
    the gradient.

    Args:
        logits: (B, C, *spatial), any floating point type.
        target: (B, 1, *spatial), integer classes in [0, C); any value where it is ignored.
        ignored: (B, 1, *spatial) booleans: voxels that do not count. None ignores nothing.
        reduction: completes sums over the batch; by default this process has all of it.

    Returns:
        The loss, a scalar in [0, 1]; exactly zero, with a gradient of zeros, where everything is ignored.

    Raises:
        ValueError: if shapes do not match.
    """
    check_voxel_map("target", target, logits)
    check_voxel_map("ignored", ignored, logits)
    with without_autocast(logits):
        probabilities = logits.to(compute_dtype(logits)).softmax(1)
        classes = torch.arange(logits.shape[1], device=logits.device).view(-1, *[1] * (logits.ndim - 2))
        truth = target == classes
        num_voxels = torch.full((), target.numel(), device=target.device)
        if ignored is not None:
            probabilities = probabilities.masked_fill(ignored, 0)
            truth &= ~ignored
            num_voxels = (~ignored).sum()
        axes = (0, *range(2, logits.ndim))
        sizes, squares, overlaps, products, num_voxels = reduction.sum(
            truth.sum(axes),
            probabilities.square().sum(axes),
            (probabilities * truth).sum(axes),
            (probabilities.detach() * probabilities).sum(axes),
            num_voxels,
        )
        # The size of a class that is present is at least 1; that of another does not matter but must not be zero.
        present = 1 - 2 * overlaps / (squares + sizes).clamp_min(1)
        absent = products / num_voxels.clamp_min(1)
        return torch.where(sizes > 0, present, absent).mean()


def gace_loss(
    logits: Tensor,
    target: Tensor,
    *,
    percent: float,
    gamma: float = 0.5,
    ignored: Tensor | None = None,
    reduction: Reduction = WHOLE_BATCH,
) -> Tensor:
    r"""Cross-entropy of the hardest voxels, in which the classes count alike whatever their size.

    Of all voxels of the batch, the `percent` of largest cross-entropy are kept. With K kept voxels, :math:`N_c` of them
    of class c, the loss is

    .. math::
        \sum_c \frac{\sum_{i \in c} \mathrm{CE}_i}{N_c^{1 - \gamma} K^\gamma}

    Args:
        logits: as for :func:`gadice_loss`.
        target: as for :func:`gadice_loss`.
        percent: share of voxels to keep, in (0, 100], to a thousandth of a percent; at least one voxel is kept.
        gamma: in [0, 1]: 0 adds up the mean of each class, 1 is the mean over all kept voxels.
        ignored: (B, 1, *spatial) booleans: voxels that do not count, neither in `percent`. None ignores nothing.
        reduction: completes sums over the batch; by default this process has all of it. Where several processes share
            the batch, each keeps the hardest `percent` of its own voxels.

    Returns:
        The loss, a scalar >= 0; exactly zero, with a gradient of zeros, where everything is ignored.

    Raises:
        ValueError: if shapes do not match or an option is out of range.
    """
    check_voxel_map("target", target, logits)
    check_voxel_map("ignored", ignored, logits)
    if not 0 < percent <= 100:
        raise ValueError(f"percent must be in (0, 100], not {percent}")
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma must be in [0, 1], not {gamma}")
    with without_autocast(logits):
        logits = logits.to(compute_dtype(logits))
        classes = target.long() if ignored is None else target.long().masked_fill(ignored, 0)
        cross_entropy = functional.cross_entropy(logits, classes[:, 0], reduction="none").flatten()
        classes = classes.flatten()
        kept = torch.ones_like(classes, dtype=torch.bool) if ignored is None else ~ignored.flatten()
        if percent < 100:
            # In whole numbers, so that the share of a tensor is the same as that of a number.
            thousandths = round(1000 * percent)
            count = max(1, kept.numel() * thousandths // 100_000)
            hardest = cross_entropy.detach().masked_fill(~kept, -torch.inf).topk(count).indices
            count_of_kept = (kept.sum() * thousandths // 100_000).clamp_min(1)
            cross_entropy, classes = cross_entropy[hardest], classes[hardest]
            kept = kept[hardest] & (torch.arange(count, device=kept.device) < count_of_kept)
        # Not a sum over voxels, whose atomic additions all go to a few places.
        by_class = (classes == torch.arange(logits.shape[1], device=logits.device).unsqueeze(1)) & kept
        counts, num_kept = reduction.sum(by_class.sum(1), kept.sum())
        sizes = counts.clamp_min(1).to(logits.dtype)
        weights = (sizes ** (1 - gamma) * num_kept.clamp_min(1) ** gamma).reciprocal()
        (loss,) = reduction.sum((cross_entropy * weights[classes] * kept).sum())
        return loss
