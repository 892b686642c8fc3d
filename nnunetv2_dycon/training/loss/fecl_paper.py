"""FeCL as the paper states it: loss and gradient, tile by tile."""

from __future__ import annotations

import torch
from torch import Tensor

from nnunetv2_dycon.training.loss.fecl_cells import Cells, Tile, tiles

MATRICES_PER_TILE = 11
# Below a focal exponent of 1 the slope is infinite at 0; it is taken no closer to it than this.
SMALLEST_BASE = 1e-6


def paper_loss_and_gradient(
    cells: Cells,
    *,
    temperature: float,
    gamma: float,
    focal_positives: bool,
    focal_negatives: bool,
    num_hard_negatives: int,
    byte_budget: int | None,
    with_gradient: bool,
) -> tuple[Tensor, Tensor | None]:
    """The paper variant of :func:`~nnunetv2_dycon.training.loss.fecl.fecl_loss`, which has the formula.

    Args:
        cells: the cells, without what is switched off.
        temperature: at least 0.02: exponentials are not shifted and must fit float32.
        gamma: focal exponent, >= 0.
        focal_positives: weight positives.
        focal_negatives: weight negatives.
        num_hard_negatives: the k of top-k.
        byte_budget: bytes the temporary tensors of one tile may take, or None.
        with_gradient: compute the gradient too.

    Returns:
        The loss, a scalar, and its gradient by the embeddings, (B, N, D), or None.
    """
    gamma_positive, gamma_negative = gamma * focal_positives, gamma * focal_negatives
    total, total_weight = cells.weights.new_zeros(()), cells.weights.new_zeros(())
    gradient = torch.zeros_like(cells.embeddings) if with_gradient else None
    for tile in tiles(cells, MATRICES_PER_TILE, byte_budget):
        embeddings = cells.embeddings[tile.sample]
        anchors = embeddings[tile.rows]
        cosine = anchors @ embeddings.T
        exponential = (cosine / temperature).exp_()
        focal_positive, positive_slope = _focal(1 - cosine, tile.positive, gamma_positive)
        focal_negative, negative_slope = _focal(cosine.clone(), tile.negative, gamma_negative)
        positive_sum, negative_sum = focal_positive.sum(1), focal_negative.sum(1)
        hard_shares = _hard_negatives(cells, tile, anchors, temperature, num_hard_negatives)

        num_positives = tile.positive.sum(1)
        has_positives = num_positives > 0
        summands = (tile.positive + focal_negative).mul_(exponential)
        denominator = summands.sum(1)
        if hard_shares is not None:
            hard = hard_shares.sum(1)
            denominator += hard * negative_sum
            exponential += hard.unsqueeze(1)
        # An anchor without positives may have nothing in its denominator; it has no loss either.
        denominator = torch.where(has_positives, denominator, 1)
        log_denominator = denominator.log()

        weight = torch.where(has_positives, cells.weights[tile.sample, tile.rows], 0)
        total_weight += weight.sum()
        weight = weight / num_positives.clamp_min(1)
        if cells.entropy is not None:
            weight = weight * cells.entropy[tile.sample, tile.rows].exp()
        similarity_sum = torch.linalg.vecdot(focal_positive, cosine) / temperature
        total += weight @ (log_denominator * positive_sum - similarity_sum)
        if gradient is None:
            continue

        weight, log_denominator = weight.unsqueeze(1), log_denominator.unsqueeze(1)
        by_denominator = weight * (positive_sum / denominator).unsqueeze(1)
        slope = summands.mul_(by_denominator / temperature)
        slope.addcmul_(focal_positive, weight, value=-1 / temperature)
        if positive_slope is not None:
            positive_slope.mul_(cosine.div_(-temperature).add_(log_denominator))
            slope.addcmul_(positive_slope, weight, value=-gamma)
        if negative_slope is not None:
            slope.addcmul_(negative_slope.mul_(exponential), by_denominator, value=gamma)
        gradient[tile.sample].addmm_(slope.T, anchors)
        gradient[tile.sample, tile.rows].addmm_(slope, embeddings)
        if hard_shares is not None and cells.teacher_embeddings is not None:
            hard_shares *= by_denominator * negative_sum.unsqueeze(1) / temperature
            gradient[tile.sample, tile.rows].addmm_(hard_shares, cells.teacher_embeddings[tile.sample])
    total_weight = torch.where(total_weight > 0, total_weight, 1)
    return total / total_weight, None if gradient is None else gradient.div_(total_weight)


def _focal(base: Tensor, mask: Tensor, gamma: float) -> tuple[Tensor, Tensor | None]:
    """``max(base, 0) ** gamma`` and ``max(base, 0) ** (gamma - 1)``, the slope by gamma, where `mask` is 1, else 0.

    Overwrites `base`. The slope is None for a `gamma` of 0.
    """
    if gamma == 0:
        return mask, None
    base.clamp_min_(0)
    # No power for the default of 2: each further pass over the matrix costs as much as the product.
    power = base if gamma == 2 else base.clamp_min(SMALLEST_BASE if gamma < 1 else 0).pow_(gamma - 1)
    slope = power * mask
    if gamma <= 1:
        slope *= base.sign()
    return base.mul_(slope), slope


def _hard_negatives(cells: Cells, tile: Tile, anchors: Tensor, temperature: float, count: int) -> Tensor | None:
    """(T, N): the share of each teacher's negative in the mean of ``exp(S)`` over an anchor's hardest ones.

    All negatives as similar as the last of the top-k belong to it, so that the order of cells cannot matter.
    """
    if cells.teacher_embeddings is None:
        return None
    # Where there are fewer negatives than asked for, a cosine of -2 stands in for the missing ones.
    cosine = (anchors @ cells.teacher_embeddings[tile.sample].T).mul_(tile.negative)
    cosine.add_(tile.negative - 1, alpha=2)
    hardest = cosine.topk(min(count, cosine.shape[1]), dim=1, sorted=False).values
    chosen = torch.empty_like(cosine)
    torch.ge(cosine, hardest.amin(1, keepdim=True).clamp_min_(-1.5), out=chosen)
    shares = cosine.div_(temperature).exp_().mul_(chosen)
    return shares.div_(chosen.sum(1, keepdim=True).clamp_min_(1))
