"""FeCL as the authors' released code computes it: loss and gradient, tile by tile."""

from __future__ import annotations

import torch
from torch import Tensor

from nnunetv2_dycon.losses.fecl_cells import Cells, Tile, focal_weights, tiles
from nnunetv2_dycon.losses.reduction import Reduction

# The released code's guard against the logarithm of zero; part of the values it defines.
EPSILON = 1e-18
# -log(1 - cosine) has no bound; the released code's is NaN where rounding takes a cosine above 1.
SMALLEST_DISTANCE = 1e-6


def official_loss_and_gradient(
    cells: Cells,
    temperature: float,
    gamma: float,
    threshold: float,
    lambda_cross: float,
    byte_budget: int | None,
    reduction: Reduction,
) -> tuple[Tensor, Tensor | None]:
    """The official variant of :func:`~nnunetv2_dycon.losses.fecl.fecl_loss`, which has the formula, and its gradient.

    `threshold` is that of the cosine of a hard negative. Of a batch that processes share, it is the part of this
    process in the loss of all, and so is the gradient.
    """
    (sum_of_weights,) = reduction.sum(cells.weights.sum())
    anchor_weights = cells.weights / _or_one(sum_of_weights)
    if cells.entropy is not None:
        gamma, anchor_weights = 0, anchor_weights * cells.entropy
    total, cross_total, cross_weight = cells.weights.new_zeros(3).unbind()
    gradient, cross_gradient = torch.zeros_like(cells.embeddings), torch.zeros_like(cells.embeddings)
    column_maximum = _column_maximum(cells, byte_budget)
    for tile in tiles(cells, 6, byte_budget):
        embeddings = cells.embeddings[tile.sample]
        anchors = embeddings[tile.rows]
        if cells.teacher_embeddings is not None:
            cross, pair_weight, by_anchors = _hard_negatives(cells, tile, threshold)
            cross_total += cross
            cross_weight += pair_weight
            cross_gradient[tile.sample, tile.rows] = by_anchors
        weight = (anchor_weights[tile.sample, tile.rows] / tile.positive.sum(1).clamp_min_(1)).unsqueeze(1)
        torch.mm(anchors, embeddings.T, out=tile.work[0]).sub_(column_maximum[tile.sample]).div_(temperature).exp_()
        loss, slope = _loss_and_slope(tile, weight, gamma, cells.needs_gradient)
        total += loss
        if slope is not None:
            slope /= temperature
            gradient[tile.sample].addmm_(slope.T, anchors)
            gradient[tile.sample, tile.rows].addmm_(slope, embeddings)
    (cross_weight,) = reduction.sum(cross_weight)
    factor = lambda_cross / _or_one(cross_weight)
    return total.addcmul_(cross_total, factor), gradient.addcmul_(
        cross_gradient, factor
    ) if cells.needs_gradient else None


def _or_one(weight: Tensor) -> Tensor:
    return torch.where(weight > 0, weight, 1)


def _column_maximum(cells: Cells, byte_budget: int | None) -> Tensor:
    """(B, N): the largest cosine in each column, or row, at least 0.

    The released code sets the diagonal to zero before it takes the maximum, hence the 0. The embeddings of ignored
    cells are zeros, which adds no more than that to the other columns.
    """
    maximum = torch.zeros_like(cells.weights)
    for tile in tiles(cells, 1, byte_budget):
        embeddings = cells.embeddings[tile.sample]
        cosine = torch.mm(embeddings[tile.rows], embeddings.T, out=tile.work[0])
        cosine.diagonal(tile.rows.start).zero_()
        maximum[tile.sample, tile.rows] = cosine.amax(1)
    return maximum


def _loss_and_slope(tile: Tile, weight: Tensor, gamma: float, with_slope: bool) -> tuple[Tensor, Tensor | None]:
    """The tile's part of the loss and its slope by the exponents, (T, N)."""
    exponential, negative, inverse_denominator, information, focal, slope = tile.work
    torch.mul(exponential, tile.negative, out=negative)
    negative_sum = negative.sum(1, keepdim=True) + EPSILON
    torch.add(exponential, negative_sum, out=inverse_denominator).reciprocal_()
    ratio = exponential.mul_(inverse_denominator)
    torch.add(ratio, EPSILON, out=information).log_().neg_()
    rest = torch.mul(inverse_denominator, negative_sum, out=focal)
    focal, focal_slope = focal_weights(rest, tile.positive, gamma, slope)
    loss = weight.squeeze(1) @ torch.linalg.vecdot(information, focal)
    if not with_slope:
        return loss, None

    # The slope by the ratio, times the ratio: -(1 - r)^g r / (r + epsilon) - g (1 - r)^(g - 1) r information.
    if focal_slope is not None:
        information.mul_(ratio).mul_(focal_slope)
    torch.add(ratio, EPSILON, out=slope).reciprocal_().mul_(ratio).mul_(focal).neg_()
    if focal_slope is not None:
        slope.sub_(information, alpha=gamma)
    slope *= weight
    by_negative_sum = torch.linalg.vecdot(slope, inverse_denominator).unsqueeze(1)
    slope *= inverse_denominator.mul_(negative_sum)
    return loss, slope.addcmul_(negative, by_negative_sum, value=-1)


def _hard_negatives(cells: Cells, tile: Tile, threshold: float) -> tuple[Tensor, Tensor, Tensor]:
    """Of ``-log(1 - cosine)`` over pairs of an anchor and a teacher's hard negative: sum, weight, (T, D) gradient."""
    assert cells.teacher_embeddings is not None
    teacher = cells.teacher_embeddings[tile.sample]
    cosine, weight, distance, logarithm, *_ = tile.work
    torch.mm(cells.embeddings[tile.sample, tile.rows], teacher.T, out=cosine)
    torch.gt(cosine, threshold, out=weight)
    weight.mul_(tile.negative).mul_(cells.weights[tile.sample, tile.rows].unsqueeze(1))
    if cells.teacher_mask is not None:
        weight.mul_(cells.teacher_mask[tile.sample])
    torch.sub(1, cosine, out=distance).clamp_min_(SMALLEST_DISTANCE)
    total = -torch.linalg.vecdot(torch.log(distance, out=logarithm), weight).sum()
    total_weight = weight.sum()
    torch.gt(distance, SMALLEST_DISTANCE, out=cosine)
    return total, total_weight, weight.mul_(cosine).div_(distance) @ teacher
