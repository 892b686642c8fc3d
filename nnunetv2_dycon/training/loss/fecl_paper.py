"""FeCL as the paper states it: loss and gradient, tile by tile."""

from __future__ import annotations

import torch
from torch import Tensor

from nnunetv2_dycon.training.loss.fecl_cells import Cells, Tile, tiles

MATRICES_PER_TILE = 8


def paper_loss_and_gradient(
    cells: Cells,
    *,
    temperature: float,
    gamma: float,
    focal_positives: bool,
    focal_negatives: bool,
    num_hard_negatives: int,
    byte_budget: int,
    with_gradient: bool,
) -> tuple[Tensor, Tensor | None]:
    """The paper variant of :func:`~nnunetv2_dycon.training.loss.fecl.fecl_loss`, which has the formula.

    Args:
        cells: the cells, without what is switched off.
        temperature: at least 0.02: exponentials are not shifted and must fit float32.
        gamma: focal exponent, 0 or >= 1.
        focal_positives: weight positives.
        focal_negatives: weight negatives.
        num_hard_negatives: the k of top-k.
        byte_budget: bytes the temporary tensors of one tile may take.
        with_gradient: compute the gradient too.

    Returns:
        The loss, a scalar, and its gradient by the embeddings, (B, N, D), or None.
    """
    total = cells.weights.new_zeros(())
    total_weight = cells.weights.new_zeros(())
    gradient = torch.zeros_like(cells.embeddings) if with_gradient else None
    for tile in tiles(cells, MATRICES_PER_TILE, byte_budget):
        embeddings = cells.embeddings[tile.sample]
        anchors = embeddings[tile.rows]
        positive, negative = tile.positive.to(anchors.dtype), tile.negative.to(anchors.dtype)
        cosine = anchors @ embeddings.T
        exponential = (cosine / temperature).exp_()

        focal_positive, positive_slope = _focal(1 - cosine, positive, gamma if focal_positives else 0)
        focal_negative, negative_slope = _focal(cosine, negative, gamma if focal_negatives else 0)
        positive_sum = focal_positive.sum(1)
        hard, hard_weights = _hard_negatives(cells, tile, anchors, temperature, num_hard_negatives)
        denominator = ((positive + focal_negative) * exponential).sum(1)
        if hard is not None:
            denominator += hard * focal_negative.sum(1)
        # Anchors without positives have no loss; where they have no negatives either, nothing is in the denominator.
        num_positives = positive.sum(1)
        has_positives = num_positives > 0
        denominator = torch.where(has_positives, denominator, 1)
        log_denominator = denominator.log()

        weight = torch.where(has_positives, cells.weights[tile.sample, tile.rows], 0)
        total_weight += weight.sum()
        weight = weight / num_positives.clamp_min(1)
        if cells.entropy is not None:
            weight = weight * cells.entropy[tile.sample, tile.rows].exp()
        total += weight @ (log_denominator * positive_sum - (focal_positive * cosine).sum(1) / temperature)

        if gradient is None:
            continue
        by_denominator = (weight * positive_sum / denominator).unsqueeze(1)
        slope = (positive + focal_negative) * exponential * (by_denominator / temperature)
        slope -= focal_positive * (weight.unsqueeze(1) / temperature)
        if positive_slope is not None:
            slope -= positive_slope * (log_denominator.unsqueeze(1) - cosine / temperature) * weight.unsqueeze(1)
        if negative_slope is not None:
            pull = exponential if hard is None else exponential + hard.unsqueeze(1)
            slope += negative_slope * pull * by_denominator
        gradient[tile.sample].addmm_(slope.T, anchors)
        gradient[tile.sample, tile.rows].addmm_(slope, embeddings)
        if hard_weights is not None and cells.teacher_embeddings is not None:
            hard_weights *= by_denominator * focal_negative.sum(1, keepdim=True) / temperature
            gradient[tile.sample, tile.rows].addmm_(hard_weights, cells.teacher_embeddings[tile.sample])
    total_weight = torch.where(total_weight > 0, total_weight, 1)
    return total / total_weight, None if gradient is None else gradient.div_(total_weight)


def _focal(base: Tensor, mask: Tensor, gamma: float) -> tuple[Tensor, Tensor | None]:
    """``max(base, 0) ** gamma`` and its slope by the base, both where `mask` is 1; the slope is None if it is 0."""
    if gamma == 0:
        return mask, None
    base = base.clamp_min(0)
    slope = (base > 0).to(base.dtype) if gamma == 1 else base.pow(gamma - 1)
    value = base * slope if gamma != 1 else base
    return value * mask, slope.mul_(mask).mul_(gamma)


def _hard_negatives(
    cells: Cells, tile: Tile, anchors: Tensor, temperature: float, count: int
) -> tuple[Tensor | None, Tensor | None]:
    """Mean of ``exp(S)`` over the hardest negatives of each anchor, (T,), and each one's share of it, (T, N).

    All negatives as similar as the last of the top-k belong to it, so that the order of cells cannot matter.
    """
    if cells.teacher_embeddings is None:
        return None, None
    cosine = anchors @ cells.teacher_embeddings[tile.sample].T
    cosine.masked_fill_(~tile.negative, -torch.inf)
    count = min(count, cosine.shape[1])
    # Cosines are at least -1: where there are fewer negatives than asked for, the bound lets all of them in and no more.
    bound = cosine.topk(count, dim=1, sorted=False).values.amin(1, keepdim=True).clamp_min_(-2)
    chosen = cosine >= bound
    shares = (cosine / temperature).exp_().mul_(chosen)
    shares /= chosen.sum(1, keepdim=True).clamp_min(1)
    return shares.sum(1), shares
