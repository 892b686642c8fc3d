"""FeCL as the authors' released code computes it: loss and gradient, tile by tile."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from nnunetv2_dycon.losses.fecl_cells import Cells, Tile, tile_rows, tiles

MATRICES_PER_TILE = 9
# The released code's guard against the logarithm of zero; part of the values it defines.
EPSILON = 1e-18
# Below a focal exponent of 1 the slope is infinite at 0; it is taken no closer to it than this.
SMALLEST_BASE = 1e-6
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
    byte_budget: int | None,
    with_gradient: bool,
) -> tuple[Tensor, Tensor | None]:
    """The official variant of :func:`~nnunetv2_dycon.losses.fecl.fecl_loss`, which has the formula.

    Args:
        cells: the cells, without what is switched off.
        temperature: > 0.
        gamma: focal exponent, >= 0.
        focal_positives: weight positives; without effect where `cells` have an entropy, which takes its place.
        hard_negative_threshold: cosine above which a teacher's negative is hard.
        lambda_cross: factor of the hard negatives' term.
        byte_budget: bytes the temporary tensors of one tile may take, or None.
        with_gradient: compute the gradient too.

    Returns:
        The loss, a scalar, and its gradient by the embeddings, (B, N, D), or None.
    """
    if cells.entropy is not None or not focal_positives:
        gamma = 0
    total = cells.weights.new_zeros(())
    gradient = torch.zeros_like(cells.embeddings) if with_gradient else None
    hard_negatives = _HardNegatives.of(cells, hard_negative_threshold, with_gradient)
    anchor_weights = cells.weights / _or_one(cells.weights.sum())
    if cells.entropy is not None:
        anchor_weights *= cells.entropy
    column_maximum = _column_maximum(cells, byte_budget)
    for tile in tiles(cells, MATRICES_PER_TILE, byte_budget):
        embeddings = cells.embeddings[tile.sample]
        anchors = embeddings[tile.rows]
        weight = (anchor_weights[tile.sample, tile.rows] / tile.positive.sum(1).clamp_min_(1)).unsqueeze(1)
        exponential = (anchors @ embeddings.T).sub_(column_maximum[tile.sample]).div_(temperature).exp_()
        if hard_negatives is not None:
            hard_negatives.add(cells, tile, anchors)
        loss, slope = _loss_and_slope(exponential, tile, weight, gamma, with_gradient)
        total += loss
        if gradient is not None and slope is not None:
            slope /= temperature
            gradient[tile.sample].addmm_(slope.T, anchors)
            gradient[tile.sample, tile.rows].addmm_(slope, embeddings)
    if hard_negatives is None:
        return total, gradient
    factor = lambda_cross / _or_one(hard_negatives.weight)
    total.addcmul_(hard_negatives.total, factor)
    if gradient is not None and hard_negatives.gradient is not None:
        gradient.addcmul_(hard_negatives.gradient, factor)
    return total, gradient


def _or_one(weight: Tensor) -> Tensor:
    return torch.where(weight > 0, weight, 1)


def _column_maximum(cells: Cells, byte_budget: int | None) -> Tensor:
    """(B, N): the largest cosine in each column, at least 0.

    The released code sets the diagonal to zero before it takes the maximum, hence the 0. The embeddings of ignored
    cells are zeros, which adds no more than that to the other columns.
    """
    maximum = torch.zeros_like(cells.weights)
    for sample, rows in tile_rows(cells, 2, byte_budget):
        # The matrix is symmetric: the part right of the diagonal tells the maxima below it too.
        right = cells.embeddings[sample, rows.start :]
        cosine = cells.embeddings[sample, rows] @ right.T
        cosine.diagonal().zero_()
        part = maximum[sample, rows.start :]
        torch.maximum(part, cosine.amax(0), out=part)
        part = maximum[sample, rows]
        torch.maximum(part, cosine.amax(1), out=part)
    return maximum


def _loss_and_slope(
    exponential: Tensor, tile: Tile, weight: Tensor, gamma: float, with_slope: bool
) -> tuple[Tensor, Tensor | None]:
    """The tile's part of the loss and its slope by the exponents, (T, N)."""
    negative = exponential * tile.negative
    negative_sum = negative.sum(1, keepdim=True) + EPSILON
    inverse_denominator = (exponential + negative_sum).reciprocal_()
    ratio = exponential * inverse_denominator
    information = (ratio + EPSILON).log_().neg_()
    rest = negative_sum * inverse_denominator
    focal = tile.positive if gamma == 0 else rest.pow(gamma).mul_(tile.positive)
    loss = weight.squeeze(1) @ torch.linalg.vecdot(information, focal)
    if not with_slope:
        return loss, None

    # The slope by the ratio, times the ratio: -(1 - r)^g r / (r + epsilon) - g (1 - r)^(g - 1) r information.
    slope = (ratio + EPSILON).reciprocal_().mul_(ratio).mul_(focal).neg_()
    if gamma > 0:
        information.mul_(ratio).mul_(tile.positive)
        if gamma != 1:
            information.mul_(rest.clamp_min(SMALLEST_BASE).pow_(gamma - 1))
        slope.sub_(information, alpha=gamma)
    slope *= weight
    by_negative_sum = torch.linalg.vecdot(slope, inverse_denominator).unsqueeze(1)
    slope *= rest
    return loss, slope.addcmul_(negative, by_negative_sum, value=-1)


class _HardNegatives(NamedTuple):
    """Running sums of ``-log(1 - cosine)`` over pairs of an anchor and a teacher's hard negative.

    Attributes:
        threshold: cosine above which a negative is hard.
        total: weighted sum of the terms, a scalar.
        weight: sum of the weights, a scalar.
        gradient: of `total` by the embeddings, (B, N, D), or None.
    """

    threshold: float
    total: Tensor
    weight: Tensor
    gradient: Tensor | None

    @classmethod
    def of(cls, cells: Cells, threshold: float, with_gradient: bool) -> _HardNegatives | None:
        if cells.teacher_embeddings is None:
            return None
        gradient = torch.zeros_like(cells.embeddings) if with_gradient else None
        return cls(threshold, cells.weights.new_zeros(()), cells.weights.new_zeros(()), gradient)

    def add(self, cells: Cells, tile: Tile, anchors: Tensor) -> None:
        assert cells.teacher_embeddings is not None
        teacher = cells.teacher_embeddings[tile.sample]
        cosine = anchors @ teacher.T
        weight = torch.empty_like(cosine)
        torch.gt(cosine, self.threshold, out=weight)
        weight.mul_(tile.negative).mul_(cells.weights[tile.sample, tile.rows].unsqueeze(1))
        if cells.teacher_mask is not None:
            weight.mul_(cells.teacher_mask[tile.sample])
        distance = torch.sub(1, cosine).clamp_min_(SMALLEST_DISTANCE)
        self.total.sub_(torch.linalg.vecdot(distance.log(), weight).sum())
        self.weight.add_(weight.sum())
        if self.gradient is not None:
            torch.gt(distance, SMALLEST_DISTANCE, out=cosine)
            self.gradient[tile.sample, tile.rows].addmm_(weight.mul_(cosine).div_(distance), teacher)
