"""FeCL as the paper states it: loss and gradient, tile by tile."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from nnunetv2_dycon.losses.fecl_cells import Cells, Tile, WorkMatrices, tiles

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
    """The paper variant of :func:`~nnunetv2_dycon.losses.fecl.fecl_loss`, which has the formula.

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
    work = WorkMatrices(cells)
    for tile in tiles(cells, MATRICES_PER_TILE, byte_budget):
        embeddings = cells.embeddings[tile.sample]
        anchors = embeddings[tile.rows]
        take = partial(work.take, num_anchors=len(anchors))
        cosine = torch.mm(anchors, embeddings.T, out=take("cosine"))
        exponential = torch.div(cosine, temperature, out=take("exponential")).exp_()
        dissimilarity = torch.sub(1, cosine, out=take("focal_positive")).clamp_min_(0)
        focal_positive, positive_slope = _focal(dissimilarity, tile.positive, gamma_positive, take("positive_slope"))
        similarity = torch.clamp_min(cosine, 0, out=take("focal_negative"))
        focal_negative, negative_slope = _focal(similarity, tile.negative, gamma_negative, take("negative_slope"))
        positive_sum, negative_sum = focal_positive.sum(1), focal_negative.sum(1)
        hard_negatives = _hard_negatives(cells, tile, anchors, temperature, num_hard_negatives, take("hard_negatives"))

        num_positives = tile.positive.sum(1)
        has_positives = num_positives > 0
        summands = torch.add(tile.positive, focal_negative, out=take("summands")).mul_(exponential)
        denominator = summands.sum(1)
        if hard_negatives is not None:
            hard = hard_negatives.shares.sum(1)
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
        if hard_negatives is not None:
            shares = hard_negatives.shares * (by_denominator * negative_sum.unsqueeze(1) / temperature)
            gradient[tile.sample, tile.rows] += (shares.unsqueeze(1) @ hard_negatives.embeddings).squeeze(1)
    total_weight = torch.where(total_weight > 0, total_weight, 1)
    return total / total_weight, None if gradient is None else gradient.div_(total_weight)


def _focal(base: Tensor, mask: Tensor, gamma: float, out: Tensor) -> tuple[Tensor, Tensor | None]:
    """``base ** gamma`` and ``base ** (gamma - 1)``, the slope by gamma, where `mask` is 1, else 0, for a base >= 0.

    Overwrites `base`; the slope is written to `out`, and None for a `gamma` of 0.
    """
    if gamma == 0:
        return mask, None
    # No power for the default of 2: each further pass over the matrix costs as much as the product.
    power = base if gamma == 2 else base.clamp_min(SMALLEST_BASE if gamma < 1 else 0).pow_(gamma - 1)
    slope = torch.mul(power, mask, out=out)
    if gamma <= 1:
        slope *= base.sign()
    return base.mul_(slope), slope


class _HardNegatives(NamedTuple):
    """The k negatives of each anchor that its teacher embeds most similarly.

    Attributes:
        shares: (T, k), of each in the mean of ``exp(S)`` over them; 0 where an anchor has fewer than k negatives.
        embeddings: (T, k, D), the teacher's.
    """

    shares: Tensor
    embeddings: Tensor


def _hard_negatives(
    cells: Cells, tile: Tile, anchors: Tensor, temperature: float, count: int, out: Tensor
) -> _HardNegatives | None:
    if cells.teacher_embeddings is None:
        return None
    teacher_embeddings = cells.teacher_embeddings[tile.sample]
    # A negative counts 4 more, which puts it above every other cell.
    cosine = torch.mm(anchors, teacher_embeddings.T, out=out)
    if cells.teacher_mask is None:
        cosine.add_(tile.negative, alpha=4)
    else:
        cosine.addcmul_(tile.negative, cells.teacher_mask[tile.sample], value=4)
    hardest = cosine.topk(min(count, cosine.shape[1]), dim=1, sorted=False)
    is_negative = hardest.values > 2
    chosen = teacher_embeddings[hardest.indices]
    # Anew, since the 4 cost digits.
    cosine = (chosen @ anchors.unsqueeze(2)).squeeze(2)
    shares = torch.where(is_negative, (cosine / temperature).exp_(), 0)
    shares /= is_negative.sum(1, keepdim=True).clamp_min(1)
    return _HardNegatives(shares, chosen)
