"""Labels of FeCL's cells: the coarse grid of an embedding map, labeled from full resolution."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from nnunetv2_dycon.losses.label_space import LabelSpace, Regions, check_labels

# A voxel is in a region above this probability, as in nnU-Net; it is also the least confidence in that decision.
DECISION_THRESHOLD = 0.5


class CellLabels(NamedTuple):
    """What FeCL is told of its cells, in the order of ``embedding.flatten(2).transpose(1, 2)``.

    Attributes:
        labels: (B, N), int64. 0 is background; for regions, bit r is region r.
        weights: (B, N), float32: the confidence in the label, in [0, 1]; 0 for a cell that holds no voxel that counts.
    """

    labels: Tensor
    weights: Tensor


def cell_labels_from_target(target: Tensor, cells: Sequence[int], labels: LabelSpace, num_classes: int) -> CellLabels:
    """Label cells from a reference segmentation, with a confidence of 1.

    Voxel i of an axis of length s lies in cell ``floor(i * n / s)`` of n, so that cells need not divide the patch. A
    lesion smaller than a cell is not lost: **a cell is background only if it has no foreground voxel at all.**
    Otherwise it takes the foreground class that most of its voxels have (the lowest, if several do).

    Of regions, each combination is a label of its own, so that a border between two organs is not a third organ: a cell
    is in a region if more than half of its foreground voxels (voxels in any region) are, or if no region has more of
    its voxels.

    Args:
        target: of nnU-Net's loader, 2D or 3D, of any type: (B, 1, *spatial) classes, of which negative ones (nnU-Net's
            -1 outside the body) are background; or (B, R, *spatial) regions, R at most 62, followed by the channel of
            the ignore label if `labels` has one.
        cells: number of cells along each axis, the spatial shape of the embedding map.
        labels: what the values of the target mean. What it ignores does not count.
        num_classes: number of classes with background and without the ignore label; without meaning for regions.

    Raises:
        TypeError: if `labels` are of another kind.
        ValueError: if the shapes do not match.
    """
    check_labels(labels)
    target, ignored = labels.split_target(target)
    grid = _Grid.of(target.shape[2:], cells, target.device)
    if isinstance(labels, Regions):
        inside = target.flatten(2) > DECISION_THRESHOLD
        return _region_votes(grid, inside, _counted(inside[:, 0], ignored), None)
    if target.shape[1] != 1:
        raise ValueError(f"target must be (B, 1, *spatial), not {tuple(target.shape)}")
    classes = target.flatten(1).long()
    counted = _counted(classes, ignored) & (classes < num_classes)
    return _class_votes(grid, classes.clamp(0, num_classes - 1), num_classes, counted, None)


def cell_labels_from_probabilities(
    probabilities: Tensor, cells: Sequence[int], labels: LabelSpace, ignored: Tensor | None = None
) -> CellLabels:
    """Label cells from the teacher's probabilities: pseudo-labels with their confidence.

    Each voxel takes its most probable class, or the regions of a probability above 0.5, in which it is as confident as
    it is of the least certain one. A cell takes its label from its voxels as in :func:`cell_labels_from_target`; its
    weight is the mean confidence of the voxels that decided on its label: those of its class, or in regions its
    foreground voxels, or all if it has none. Of a few doubtful foreground voxels in confident background, it is the
    foreground that gives the cell its label, so its doubt has to count.

    Args:
        probabilities: (B, C, *spatial), 2D or 3D; C is at most 62 for regions.
        cells: number of cells along each axis, the spatial shape of the embedding map.
        labels: what the channels mean.
        ignored: (B, 1, *spatial) booleans, true where voxels do not count. None ignores nothing.

    Raises:
        TypeError: if `labels` are of another kind.
        ValueError: if the shapes do not match.
    """
    check_labels(labels)
    grid = _Grid.of(probabilities.shape[2:], cells, probabilities.device)
    flat = probabilities.flatten(2)
    if isinstance(labels, Regions):
        inside = flat > DECISION_THRESHOLD
        confidence = (flat - DECISION_THRESHOLD).abs().amin(1).float() + DECISION_THRESHOLD
        return _region_votes(grid, inside, _counted(inside[:, 0], ignored), confidence)
    confidence, classes = flat.max(1)
    return _class_votes(grid, classes, flat.shape[1], _counted(classes, ignored), confidence.float())


def mean_over_cells(values: Tensor, cells: Sequence[int]) -> Tensor:
    """The mean of a voxel map in each cell, for example of the entropy.

    Args:
        values: (B, *spatial) or (B, 1, *spatial), floating point or boolean.
        cells: number of cells along each axis.

    Returns:
        (B, N), float32; 0 for a cell that holds no voxel.

    Raises:
        ValueError: if the shapes do not match.
    """
    if values.ndim == len(cells) + 2 and values.shape[1] == 1:
        values = values[:, 0]
    grid = _Grid.of(values.shape[1:], cells, values.device)
    flat = values.flatten(1).float()
    # Not bincount: it waits for the device to learn how long its result has to be.
    return grid.sum(flat) / grid.sum(torch.ones_like(flat[:1])).clamp_min(1)


class _Grid(NamedTuple):
    """The cells that voxels lie in.

    Attributes:
        cell_of_voxel: (V,), both in row-major order.
        num_cells: N.
    """

    cell_of_voxel: Tensor
    num_cells: int

    @classmethod
    def of(cls, spatial: Sequence[int], cells: Sequence[int], device: torch.device) -> _Grid:
        if len(spatial) != len(cells) or min(cells) < 1:
            raise ValueError(f"cells {tuple(cells)} do not fit voxels of shape {tuple(spatial)}")
        index = torch.zeros((), dtype=torch.int64, device=device)
        for size, count in zip(spatial, cells, strict=True):
            index = index.unsqueeze(-1) * count + torch.arange(size, device=device) * count // size
        return cls(index.flatten(), prod(cells))

    def sum(self, values: Tensor) -> Tensor:
        """(B, V) -> (B, N)."""
        sums = values.new_zeros(values.shape[0], self.num_cells)
        return sums.scatter_add_(1, self.cell_of_voxel.expand(values.shape), values)

    def sum_by_class(self, values: Tensor, classes: Tensor, num_classes: int) -> Tensor:
        """(B, V) -> (B, N, L)."""
        sums = values.new_zeros(values.shape[0], self.num_cells * num_classes)
        sums.scatter_add_(1, self.cell_of_voxel * num_classes + classes, values)
        return sums.unflatten(1, (self.num_cells, num_classes))


def _counted(like: Tensor, ignored: Tensor | None) -> Tensor:
    """(B, V) booleans, of the shape of `like`: voxels that are not ignored."""
    return torch.ones_like(like, dtype=torch.bool) if ignored is None else ~ignored.flatten(1)


def _class_votes(
    grid: _Grid, classes: Tensor, num_classes: int, counted: Tensor, confidence: Tensor | None
) -> CellLabels:
    """Labels from the (B, V) classes of voxels; None for a `confidence` of 1."""
    votes = grid.sum_by_class(counted.int(), classes, num_classes)
    # Background has a say only where there is nothing else.
    votes[..., 0] *= ~votes[..., 1:].any(2)
    num_votes, winners = votes.max(2)
    if confidence is None:
        return CellLabels(winners, (num_votes > 0).float())
    sums = grid.sum_by_class(confidence * counted, classes, num_classes)
    return CellLabels(winners, sums.gather(2, winners.unsqueeze(2)).squeeze(2) / num_votes.clamp_min(1))


def _region_votes(grid: _Grid, inside: Tensor, counted: Tensor, confidence: Tensor | None) -> CellLabels:
    """Labels, as bit codes, from the (B, R, V) regions of voxels; None for a `confidence` of 1."""
    in_any = inside.any(1)
    num_foreground = grid.sum((in_any & counted).int())
    has_foreground = num_foreground > 0
    votes = torch.stack([grid.sum((region & counted).int()) for region in inside.unbind(1)], dim=2)
    chosen = 2 * votes > num_foreground.unsqueeze(2)
    chosen.scatter_(2, votes.argmax(2, keepdim=True), True)
    labels = torch.where(has_foreground, (chosen * 2 ** torch.arange(votes.shape[2], device=votes.device)).sum(2), 0)
    if confidence is None:
        return CellLabels(labels, (grid.sum(counted.int()) > 0).float())
    confidence = confidence * counted
    sums = torch.where(has_foreground, grid.sum(confidence * in_any), grid.sum(confidence))
    num_voxels = torch.where(has_foreground, num_foreground, grid.sum(counted.to(confidence)))
    return CellLabels(labels, sums / num_voxels.clamp_min(1))
