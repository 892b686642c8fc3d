"""FeCL as the authors' released code computes it: loss and gradient, tile by tile."""

from __future__ import annotations

import torch
from torch import Tensor

from nnunetv2_dycon.training.loss.fecl_cells import Cells, Tile, tiles

MATRICES_PER_TILE = 8
# The released code's guard against the logarithm of zero; part of the values it defines.
EPSILON = 1e-18
# -log(1 - cosine) has no bound; the released code's is NaN where rounding takes a cosine above 1.
SMALLEST_DISTANCE = 1e-6


def official_loss_and_gradient(
    cells: Cells,
    *,
    temperature: float,
    gamma: float,
    focal_positives: bool,
    hard_negative_threshold: float,
    lambda_cross: float,
    byte_budget: int,
    with_gradient: bool,
) -> tuple[Tensor, Tensor | None]:
    """The official variant of :func:`~nnunetv2_dycon.training.loss.fecl.fecl_loss`, which has the formula.

    Args:
        cells: the cells, without what is switched off.
        temperature: > 0.
        gamma: focal exponent, 0 or >= 1.
        focal_positives: weight positives; without effect where `cells` have an entropy, which takes its place.
        hard_negative_threshold: cosine above which a teacher's negative is hard.
        lambda_cross: factor of the hard negatives' term.
        byte_budget: bytes the temporary tensors of one tile may take.
        with_gradient: compute the gradient too.

    Returns:
        The loss, a scalar, and its gradient by the embeddings, (B, N, D), or None.
    """
    if cells.entropy is not None or not focal_positives:
        gamma = 0
    total = cells.weights.new_zeros(())
    gradient = torch.zeros_like(cells.embeddings) if with_gradient else None
    total_weight = _or_one(cells.weights.sum())
    column_maximum = _column_maximum(cells, temperature, byte_budget)
    cross = cells.weights.new_zeros(2)
    cross_gradient = torch.zeros_like(cells.embeddings) if with_gradient and cells.teacher_embeddings is not None else None
    for tile in tiles(cells, MATRICES_PER_TILE, byte_budget):
        embeddings = cells.embeddings[tile.sample]
        anchors = embeddings[tile.rows]
        exponential = (anchors @ embeddings.T).div_(temperature).sub_(column_maximum[tile.sample]).exp_()
        negative = exponential * tile.negative
        negative_sum = negative.sum(1, keepdim=True)
        denominator = exponential + negative_sum + EPSILON
        ratio = exponential / denominator
        information = (ratio + EPSILON).log_().neg_()
        weight = cells.weights[tile.sample, tile.rows] / (tile.positive.sum(1).clamp_min(1) * total_weight)
        if cells.entropy is not None:
            weight = weight * cells.entropy[tile.sample, tile.rows]
        focal = (1 - ratio).pow_(gamma) if gamma > 0 else torch.ones_like(ratio)
        total += weight @ (information * focal * tile.positive).sum(1)
        if gradient is not None:
            slope = focal / (ratio + EPSILON)
            slope.neg_()
            if gamma > 0:
                slope -= information * gamma * (1 - ratio).pow_(gamma - 1)
            slope *= weight.unsqueeze(1) * tile.positive
            # By the quotient rule the ratio falls with its negatives and rises with its own exponential.
            slope *= exponential / denominator / denominator
            by_negative_sum = slope.sum(1, keepdim=True)
            slope *= negative_sum + EPSILON
            slope -= negative * by_negative_sum
            slope /= temperature
            gradient[tile.sample].addmm_(slope.T, anchors)
            gradient[tile.sample, tile.rows].addmm_(slope, embeddings)
        if cells.teacher_embeddings is not None:
            cross += _hard_negatives(cells, tile, anchors, hard_negative_threshold, cross_gradient)
    if cells.teacher_embeddings is None:
        return total, gradient
    cross_weight = _or_one(cross[1])
    total = total + lambda_cross * cross[0] / cross_weight
    if gradient is not None and cross_gradient is not None:
        gradient.addcmul_(cross_gradient, lambda_cross / cross_weight)
    return total, gradient


def _or_one(weight: Tensor) -> Tensor:
    return torch.where(weight > 0, weight, 1)


def _column_maximum(cells: Cells, temperature: float, byte_budget: int) -> Tensor:
    """(B, N): the largest similarity in each column, at least 0 and infinity for ignored cells.

    The released code sets the diagonal to zero before it takes the maximum, hence the 0. An infinite maximum makes
    the exponentials of a column zero.
    """
    maximum = torch.zeros_like(cells.weights)
    for tile in tiles(cells, 1, byte_budget):
        embeddings = cells.embeddings[tile.sample]
        similarity = embeddings[tile.rows] @ embeddings.T
        similarity.diagonal(tile.rows.start).zero_()
        torch.amax(similarity, 1, out=maximum[tile.sample, tile.rows])
    return torch.where(cells.valid, maximum / temperature, torch.inf)


def _hard_negatives(
    cells: Cells, tile: Tile, anchors: Tensor, threshold: float, gradient: Tensor | None
) -> Tensor:
    """Weighted sum of ``-log(1 - cosine)`` over hard teacher negatives and the sum of the weights, (2,).

    The gradient of the former is added to `gradient`.
    """
    assert cells.teacher_embeddings is not None
    teacher = cells.teacher_embeddings[tile.sample]
    cosine = anchors @ teacher.T
    weight = ((cosine > threshold) & tile.negative) * cells.weights[tile.sample, tile.rows].unsqueeze(1)
    distance = (1 - cosine).clamp_min_(SMALLEST_DISTANCE)
    sums = torch.stack((-(distance.log() * weight).sum(), weight.sum()))
    if gradient is not None:
        weight.masked_fill_(distance <= SMALLEST_DISTANCE, 0)
        gradient[tile.sample, tile.rows].addmm_(weight / distance, teacher)
    return sums
