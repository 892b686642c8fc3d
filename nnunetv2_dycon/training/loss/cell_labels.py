"""Labels of FeCL's cells: the coarse grid of an embedding map, labelled from full resolution."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

SURE = 0.5


class CellLabels(NamedTuple):
    """What FeCL is told of its cells, in the order of ``embedding.flatten(2).transpose(1, 2)``.

    Attributes:
        labels: (B, N), int64. 0 is background; for regions, bit r is region r.
        weights: (B, N), float32: the confidence in the label, in [0, 1]; 0 means that the cell is to be ignored.
    """

    labels: Tensor
    weights: Tensor


def cell_labels_from_segmentation(
    segmentation: Tensor, cells: Sequence[int], num_labels: int, ignore_label: int | None = None
) -> CellLabels:
    """Label cells from a reference segmentation.

    Voxel i of an axis of length s lies in cell ``floor(i * n / s)`` of n, so that cells need not divide the patch. **A
    cell takes the foreground label that most of its voxels have (the lowest, if several do), and background only if it
    has no foreground voxel at all**: a lesion smaller than a cell is not lost. Voxels of the ignore label do not count,
    and a cell without any other gets weight 0; all other cells have weight 1.

    Args:
        segmentation: (B, 1, *spatial) or (B, *spatial), 2D or 3D, integers of any type, floating point included.
            Negative labels (nnU-Net's -1 outside the body) are background.
        cells: number of cells along each axis, the spatial shape of the embedding map.
        num_labels: number of labels with background and without the ignore label.
        ignore_label: the ignore label of the data set, if it has one.

    Returns:
        The labels and weights.

    Raises:
        ValueError: if the shapes do not match.
    """
    segmentation = _without_channel(segmentation, cells)
    labels = segmentation.flatten(1).long()
    counted = labels < num_labels
    if ignore_label is not None:
        counted &= labels != ignore_label
    labels = labels.clamp(0, num_labels - 1)
    index = _cell_of_voxel(segmentation.shape[1:], cells, segmentation.device)
    votes = _sum_by_cell_and_label(counted.int(), index, labels, prod(cells), num_labels)
    winners, _ = _winners(votes)
    return CellLabels(winners, votes.any(2).float())


def cell_labels_from_probabilities(
    probabilities: Tensor, cells: Sequence[int], ignore_mask: Tensor | None = None
) -> CellLabels:
    """Label cells from the teacher's probabilities: pseudo-labels with their confidence.

    Each voxel takes its most probable class; a cell takes its label from its voxels as in
    :func:`cell_labels_from_segmentation`. The weight is the mean probability of that class over the voxels that voted
    for it. The cell's other voxels do not enter: of a few doubtful foreground voxels in confident background, it is the
    foreground that gives the cell its label, so its doubt has to count.

    Args:
        probabilities: (B, C, *spatial), 2D or 3D: softmax outputs.
        cells: number of cells along each axis, the spatial shape of the embedding map.
        ignore_mask: (B, *spatial) or (B, 1, *spatial): 1 or True where voxels are to be ignored. None ignores nothing.

    Returns:
        The labels and weights; a cell that holds no voxel that counts has weight 0.

    Raises:
        ValueError: if the shapes do not match.
    """
    _check_axes(probabilities.shape[2:], cells)
    confidence, labels = probabilities.flatten(2).max(1)
    index = _cell_of_voxel(probabilities.shape[2:], cells, probabilities.device)
    num_cells, num_labels = prod(cells), probabilities.shape[1]
    counted = _counted(labels, cells, ignore_mask)
    votes = _sum_by_cell_and_label(counted.int(), index, labels, num_cells, num_labels)
    sums = _sum_by_cell_and_label(confidence.float() * counted, index, labels, num_cells, num_labels)
    winners, num_votes = _winners(votes)
    weights = sums.gather(2, winners.unsqueeze(2)).squeeze(2) / num_votes.clamp_min(1)
    return CellLabels(winners, weights)


def cell_labels_from_regions(regions: Tensor, cells: Sequence[int], ignore_mask: Tensor | None = None) -> CellLabels:
    """Label cells from a reference segmentation in regions (nnU-Net's region-based training).

    Each combination of regions is a class of its own: bit r of the label says whether the cell is in region r. **A
    cell is in a region if more than half of its foreground voxels (voxels in any region) are, or if no region has more
    of its voxels**; it is background (0) only without foreground voxels. A lesion smaller than a cell is not lost, and
    a border between two organs is not a third organ.

    Args:
        regions: (B, R, *spatial), 2D or 3D: 1 or True inside a region; R is at most 62.
        cells: number of cells along each axis, the spatial shape of the embedding map.
        ignore_mask: (B, *spatial) or (B, 1, *spatial): 1 or True where voxels are to be ignored (the last
            channel of nnU-Net's target, if the data set has an ignore label). None ignores nothing.

    Returns:
        The labels and weights: 1, or 0 where all voxels of the cell are ignored.

    Raises:
        ValueError: if the shapes do not match.
    """
    inside = regions.flatten(2) > SURE
    counted = _counted(inside[:, 0], cells, ignore_mask)
    _check_axes(regions.shape[2:], cells)
    index = _cell_of_voxel(regions.shape[2:], cells, regions.device)
    labels, _ = _combine_regions(inside, counted, index, prod(cells))
    return CellLabels(labels, (_sum_by_cell(counted.int(), index, prod(cells)) > 0).float())


def cell_labels_from_region_probabilities(
    probabilities: Tensor, cells: Sequence[int], ignore_mask: Tensor | None = None
) -> CellLabels:
    """Label cells from the teacher's region probabilities: pseudo-labels with their confidence.

    A voxel is in a region if its probability is above 0.5, as in nnU-Net; a cell takes its label from its voxels as
    in :func:`cell_labels_from_regions`. A voxel is as confident as it is of its least certain region, and a cell's
    weight is the mean confidence of the voxels that decided on its label: its foreground voxels, or all if it has none.

    Args:
        probabilities: (B, R, *spatial), 2D or 3D: sigmoid outputs; R is at most 62.
        cells: number of cells along each axis, the spatial shape of the embedding map.
        ignore_mask: (B, *spatial) or (B, 1, *spatial): 1 or True where voxels are to be ignored. None ignores nothing.

    Returns:
        The labels and weights; a cell that holds no voxel that counts has weight 0.

    Raises:
        ValueError: if the shapes do not match.
    """
    _check_axes(probabilities.shape[2:], cells)
    flat = probabilities.flatten(2)
    inside = flat > SURE
    # The distance of the nearest probability from 0.5 is the least certain region's.
    counted = _counted(inside[:, 0], cells, ignore_mask)
    confidence = ((flat - SURE).abs().amin(1).float() + SURE) * counted
    index = _cell_of_voxel(probabilities.shape[2:], cells, probabilities.device)
    num_cells = prod(cells)
    labels, num_foreground = _combine_regions(inside, counted, index, num_cells)
    foreground_confidence = _sum_by_cell(confidence * inside.any(1), index, num_cells)
    confidence_sum = _sum_by_cell(confidence, index, num_cells)
    num_voxels = _sum_by_cell(counted.to(confidence), index, num_cells)
    has_foreground = num_foreground > 0
    weights = torch.where(has_foreground, foreground_confidence, confidence_sum)
    return CellLabels(labels, weights / torch.where(has_foreground, num_foreground, num_voxels).clamp_min(1))


def mean_over_cells(values: Tensor, cells: Sequence[int]) -> Tensor:
    """The mean of a voxel map in each cell, for example of the entropy.

    Args:
        values: (B, *spatial) or (B, 1, *spatial), floating point.
        cells: number of cells along each axis.

    Returns:
        (B, N), float32; 0 for a cell that holds no voxel.

    Raises:
        ValueError: if the shapes do not match.
    """
    values = _without_channel(values, cells)
    index = _cell_of_voxel(values.shape[1:], cells, values.device)
    flat = values.flatten(1).float()
    # Not bincount: it waits for the device to learn how long its result has to be.
    num_voxels = _sum_by_cell(torch.ones_like(flat[:1]), index, prod(cells))
    return _sum_by_cell(flat, index, prod(cells)) / num_voxels.clamp_min(1)


def _counted(like: Tensor, cells: Sequence[int], ignore_mask: Tensor | None) -> Tensor:
    """(B, V) booleans, of the shape of `like`: voxels that are not ignored."""
    if ignore_mask is None:
        return torch.ones_like(like, dtype=torch.bool)
    return _without_channel(ignore_mask, cells).flatten(1) <= SURE


def _without_channel(voxels: Tensor, cells: Sequence[int]) -> Tensor:
    if voxels.ndim == len(cells) + 2 and voxels.shape[1] == 1:
        voxels = voxels[:, 0]
    _check_axes(voxels.shape[1:], cells)
    return voxels


def _check_axes(spatial: Sequence[int], cells: Sequence[int]) -> None:
    if len(spatial) != len(cells) or min(cells) < 1:
        raise ValueError(f"cells {tuple(cells)} do not fit voxels of shape {tuple(spatial)}")


def _cell_of_voxel(spatial: Sequence[int], cells: Sequence[int], device: torch.device) -> Tensor:
    """(V,): index of the cell that each voxel lies in, both in row-major order."""
    index = torch.zeros((), dtype=torch.int64, device=device)
    for size, count in zip(spatial, cells, strict=True):
        index = index.unsqueeze(-1) * count + torch.arange(size, device=device) * count // size
    return index.flatten()


def _sum_by_cell(values: Tensor, index: Tensor, num_cells: int) -> Tensor:
    """(B, V) -> (B, N)."""
    sums = values.new_zeros(values.shape[0], num_cells)
    return sums.scatter_add_(1, index.expand(values.shape), values)


def _sum_by_cell_and_label(values: Tensor, index: Tensor, labels: Tensor, num_cells: int, num_labels: int) -> Tensor:
    """(B, V) -> (B, N, L)."""
    sums = values.new_zeros(values.shape[0], num_cells * num_labels)
    return sums.scatter_add_(1, index * num_labels + labels, values).unflatten(1, (num_cells, num_labels))


def _winners(votes: Tensor) -> tuple[Tensor, Tensor]:
    """(B, N, L) -> label of each cell and its number of votes, each (B, N)."""
    votes = votes.clone()
    # Background has a say only where there is nothing else.
    votes[..., 0] *= ~votes[..., 1:].any(2)
    num_votes, labels = votes.max(2)
    return labels, num_votes


def _combine_regions(inside: Tensor, counted: Tensor, index: Tensor, num_cells: int) -> tuple[Tensor, Tensor]:
    """(B, R, V) -> label of each cell as a bit code and its number of foreground voxels, each (B, N)."""
    num_foreground = _sum_by_cell((inside.any(1) & counted).int(), index, num_cells)
    votes = torch.stack(
        [_sum_by_cell((region & counted).int(), index, num_cells) for region in inside.unbind(1)], dim=2
    )
    chosen = 2 * votes > num_foreground.unsqueeze(2)
    most = votes.argmax(2, keepdim=True)
    chosen.scatter_(2, most, True)
    bits = 2 ** torch.arange(votes.shape[2], device=votes.device)
    labels = (chosen * bits).sum(2)
    return torch.where(num_foreground > 0, labels, 0), num_foreground
