from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nnunetv2_dycon.losses.cell_labels import (
    cell_labels_from_probabilities,
    cell_labels_from_target,
    mean_over_cells,
)
from nnunetv2_dycon.losses.label_space import Classes, LabelSpace, Regions

GRIDS = [
    ((8, 6, 4), (4, 3, 2)),
    ((7, 9, 10), (3, 4, 5)),
    ((5, 20, 20), (5, 4, 4)),
    ((12, 10), (4, 3)),
    ((3, 4), (5, 4)),
]


def voxels_by_cell(spatial: tuple[int, ...], cells: tuple[int, ...]) -> list[list[tuple[int, ...]]]:
    """The voxels of each cell, cells in row-major order, one voxel after the other."""
    members: dict[tuple[int, ...], list[tuple[int, ...]]] = {cell: [] for cell in product(*map(range, cells))}
    for voxel in product(*map(range, spatial)):
        cell = tuple(i * n // s for i, n, s in zip(voxel, cells, spatial, strict=True))
        members[cell].append(voxel)
    return list(members.values())


def vote(labels: list[int]) -> int:
    foreground = Counter(label for label in labels if label > 0)
    most = max(foreground.values(), default=0)
    return min((label for label, count in foreground.items() if count == most), default=0)


@pytest.mark.parametrize(("spatial", "cells"), GRIDS)
def test_classes_equal_a_count_voxel_by_voxel(spatial: tuple[int, ...], cells: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    segmentation = torch.randint(-1, 5, (2, 1, *spatial), generator=generator).float()
    # Label 0 has to be common for some cells to be background, label 4 for some to be ignored.
    common = torch.tensor([0.0, 4.0]).reshape(2, *[1] * (len(spatial) + 1))
    segmentation = torch.where(torch.rand(segmentation.shape, generator=generator) < 0.85, common, segmentation)
    labels, weights = cell_labels_from_target(segmentation, cells, Classes(ignore_label=4), 4)
    assert labels.shape == weights.shape == (2, int(np.prod(cells)))
    assert labels.dtype == torch.int64
    assert weights.dtype == torch.float32
    for sample in range(2):
        for cell, members in enumerate(voxels_by_cell(spatial, cells)):
            values = [int(segmentation[(sample, 0, *voxel)]) for voxel in members]
            counted = [value for value in values if value != 4]
            assert labels[sample, cell] == vote(counted)
            assert weights[sample, cell] == (len(counted) > 0)


def test_cells_are_in_the_order_of_a_flattened_embedding_map() -> None:
    segmentation = torch.arange(24).reshape(1, 1, 2, 3, 4).repeat_interleave(2, 2).repeat_interleave(2, 4)
    labels, _ = cell_labels_from_target(segmentation, (2, 3, 4), Classes(), 24)
    embedding_map = torch.arange(24).reshape(1, 1, 2, 3, 4)
    assert torch.equal(labels, embedding_map.flatten(2).transpose(1, 2).squeeze(2))


def test_a_lesion_smaller_than_a_cell_is_not_lost() -> None:
    segmentation = torch.zeros(1, 1, 32, 32, 32)
    segmentation[0, 0, 17, 5, 30] = 2
    labels, _ = cell_labels_from_target(segmentation, (4, 4, 4), Classes(), 3)
    assert labels.reshape(4, 4, 4)[2, 0, 3] == 2
    assert labels.sum() == 2


def test_the_most_frequent_foreground_label_wins_and_the_lowest_of_equals() -> None:
    segmentation = torch.tensor([[0, 0, 0, 3, 3, 1], [0, 0, 2, 2, 1, 1]]).reshape(1, 1, 2, 6)
    labels, _ = cell_labels_from_target(segmentation, (2, 1), Classes(), 4)
    assert labels.tolist() == [[3, 1]]


def test_ignored_voxels_do_not_vote() -> None:
    segmentation = torch.tensor([[5, 5, 5, 0], [5, 5, 1, 0], [5, 5, 5, 5]]).reshape(1, 1, 3, 4)
    labels, weights = cell_labels_from_target(segmentation, (3, 1), Classes(ignore_label=5), 5)
    assert labels.tolist() == [[0, 1, 0]]
    assert weights.tolist() == [[1, 1, 0]]


@pytest.mark.parametrize(("spatial", "cells"), GRIDS)
def test_probabilities_equal_a_count_voxel_by_voxel(spatial: tuple[int, ...], cells: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, *spatial, generator=generator)
    logits[:, 0] += 3
    probabilities = logits.softmax(1)
    labels, weights = cell_labels_from_probabilities(probabilities, cells, Classes())
    for sample in range(2):
        for cell, members in enumerate(voxels_by_cell(spatial, cells)):
            distributions = [probabilities[(sample, slice(None), *voxel)] for voxel in members]
            expected = vote([int(distribution.argmax()) for distribution in distributions])
            confidences = [float(d[expected]) for d in distributions if d.argmax() == expected]
            assert labels[sample, cell] == expected
            assert weights[sample, cell].item() == pytest.approx(np.mean(confidences) if confidences else 0, rel=1e-5)


def test_confidence_is_that_of_the_voxels_that_gave_the_label() -> None:
    probabilities = torch.tensor([[0.99, 0.99, 0.4, 0.3], [0.01, 0.01, 0.6, 0.7]]).reshape(1, 2, 2, 2)
    labels, weights = cell_labels_from_probabilities(probabilities, (1, 1), Classes())
    assert labels.item() == 1
    assert weights.item() == pytest.approx(0.65)


def test_ignored_voxels_of_probabilities_do_not_vote() -> None:
    probabilities = torch.tensor([[0.9, 0.2, 0.4, 0.3], [0.1, 0.8, 0.6, 0.7]]).reshape(1, 2, 2, 2)
    ignored = torch.tensor([[False, False], [True, True]]).reshape(1, 1, 2, 2)
    labels, weights = cell_labels_from_probabilities(probabilities, (1, 1), Classes(), ignored)
    assert (labels.item(), weights.item()) == (1, pytest.approx(0.8))
    labels, weights = cell_labels_from_probabilities(probabilities, (2, 1), Classes(), ignored)
    assert weights[0].tolist() == [pytest.approx(0.8), 0]
    labels, weights = cell_labels_from_probabilities(probabilities[:, 1:], (1, 1), Regions(), ignored)
    assert (labels.item(), weights.item()) == (1, pytest.approx(0.8))
    labels, weights = cell_labels_from_probabilities(probabilities[:, :1], (2, 1), Regions(), ignored)
    assert labels.tolist() == [[1, 0]]
    assert weights[0].tolist() == [pytest.approx(0.9), 0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_probabilities_of_any_type(dtype: torch.dtype) -> None:
    probabilities = torch.tensor([0.25, 0.75]).reshape(1, 2, 1, 1).expand(1, 2, 64, 64).to(dtype)
    labels, weights = cell_labels_from_probabilities(probabilities, (1, 1), Classes())
    assert labels.item() == 1
    assert weights.item() == 0.75
    assert weights.dtype == torch.float32


def vote_regions(members: list[list[bool]]) -> int:
    foreground = [member for member in members if any(member)]
    if not foreground:
        return 0
    counts = [sum(column) for column in zip(*foreground, strict=True)]
    chosen = [2 * count > len(foreground) for count in counts]
    chosen[counts.index(max(counts))] = True
    return sum(2**region for region, is_chosen in enumerate(chosen) if is_chosen)


@pytest.mark.parametrize(("spatial", "cells"), GRIDS)
@pytest.mark.parametrize("dtype", [torch.bool, torch.float32, torch.uint8])
def test_regions_equal_a_count_voxel_by_voxel(
    spatial: tuple[int, ...], cells: tuple[int, ...], dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(0)
    share = torch.tensor([0.2, 0.1, 0.05]).reshape(1, 3, *[1] * len(spatial))
    regions = (torch.rand(2, 3, *spatial, generator=generator) < share).to(dtype)
    ignored = torch.rand(2, 1, *spatial, generator=generator) < torch.tensor([0.3, 0.9]).reshape(
        2, *[1] * regions[0].ndim
    )
    target = torch.cat([regions, ignored.to(dtype)], dim=1)
    labels, weights = cell_labels_from_target(target, cells, Regions(has_ignore_label=True), 3)
    for sample in range(2):
        for cell, members in enumerate(voxels_by_cell(spatial, cells)):
            counted = [voxel for voxel in members if not ignored[(sample, 0, *voxel)]]
            inside = [[bool(regions[(sample, r, *voxel)]) for r in range(3)] for voxel in counted]
            assert labels[sample, cell] == vote_regions(inside)
            assert weights[sample, cell] == (len(counted) > 0)


def test_nested_and_disjoint_regions() -> None:
    # Cell 0: half of the whole tumour is core; cell 1: most of it is; cell 2: a border between two disjoint regions.
    whole = [1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]
    core = [0, 0, 1, 1, 0, 1, 1, 1, 0, 1, 1, 0]
    other = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    regions = torch.tensor([whole, core, other]).reshape(1, 3, 3, 4)
    labels, _ = cell_labels_from_target(regions, (3, 1), Regions(), 3)
    assert labels.tolist() == [[0b001, 0b011, 0b010]]


def test_a_region_smaller_than_a_cell_is_not_lost() -> None:
    regions = torch.zeros(1, 60, 8, 8, 8, dtype=torch.bool)
    regions[0, 59, 1, 1, 1] = True
    labels, _ = cell_labels_from_target(regions, (2, 2, 2), Regions(), 60)
    assert labels.tolist() == [[2**59, 0, 0, 0, 0, 0, 0, 0]]


def test_region_probabilities_give_the_regions_above_one_half_and_their_confidence() -> None:
    probabilities = torch.tensor([[0.9, 0.8, 0.4, 0.1], [0.05, 0.7, 0.2, 0.3]]).reshape(1, 2, 2, 2)
    labels, weights = cell_labels_from_probabilities(probabilities, (1, 1), Regions())
    assert labels.item() == 0b01
    assert weights.item() == pytest.approx((0.9 + 0.7) / 2)
    labels, weights = cell_labels_from_probabilities(probabilities[..., 1:, :], (1, 1), Regions())
    assert labels.item() == 0
    assert weights.item() == pytest.approx((0.6 + 0.7) / 2)


@pytest.mark.parametrize(("spatial", "cells"), GRIDS)
def test_mean_over_cells(spatial: tuple[int, ...], cells: tuple[int, ...]) -> None:
    values = torch.rand(2, 1, *spatial, generator=torch.Generator().manual_seed(0))
    means = mean_over_cells(values, cells)
    for sample in range(2):
        for cell, members in enumerate(voxels_by_cell(spatial, cells)):
            expected = np.mean([float(values[(sample, 0, *voxel)]) for voxel in members]) if members else 0
            assert means[sample, cell].item() == pytest.approx(expected, rel=1e-5)
    assert torch.equal(mean_over_cells(values[:, 0], cells), means)


def test_nothing_waits_for_the_device() -> None:
    # A tensor on the meta device has no values: whatever asks for one raises.
    def voxels(channels: int) -> Tensor:
        return torch.empty(2, channels, 8, 8, 8, device="meta")

    cells = (2, 2, 2)
    cell_labels_from_target(voxels(1), cells, Classes(ignore_label=3), 3)
    cell_labels_from_target(voxels(3), cells, Regions(has_ignore_label=True), 2)
    for labels in (Classes(), Regions()):
        cell_labels_from_probabilities(voxels(3), cells, labels, voxels(1) > 0)
    mean_over_cells(voxels(1), cells)


@pytest.mark.parametrize("labels", [Classes(), Regions()], ids=str)
@pytest.mark.parametrize("cells", [(2, 2), (2, 0, 2)])
def test_cells_that_do_not_fit_are_refused(cells: tuple[int, ...], labels: LabelSpace) -> None:
    voxels = torch.zeros(2, 3, 8, 8, 8)
    with pytest.raises(ValueError, match="cells"):
        cell_labels_from_target(voxels[:, :1], cells, labels, 3)
    with pytest.raises(ValueError, match="cells"):
        cell_labels_from_probabilities(voxels, cells, labels)
    with pytest.raises(ValueError, match="cells"):
        mean_over_cells(voxels[:, :1], cells)


def test_a_target_of_classes_has_one_channel() -> None:
    with pytest.raises(ValueError, match="target"):
        cell_labels_from_target(torch.zeros(2, 3, 8, 8), (2, 2), Classes(), 3)


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_every_label_of_a_patch_survives_in_some_cell_of_its_own_size(data: st.DataObject) -> None:
    spatial = tuple(data.draw(st.lists(st.integers(2, 9), min_size=2, max_size=3)))
    cells = tuple(data.draw(st.integers(1, size)) for size in spatial)
    num_labels = data.draw(st.integers(1, 6))
    seed = data.draw(st.integers(0, 1000))
    segmentation = torch.randint(0, num_labels, (1, 1, *spatial), generator=torch.Generator().manual_seed(seed))
    labels, weights = cell_labels_from_target(segmentation, cells, Classes(), num_labels)
    assert weights.all()
    for cell, members in enumerate(voxels_by_cell(spatial, cells)):
        present = {int(segmentation[(0, 0, *voxel)]) for voxel in members}
        assert labels[0, cell].item() in present
        assert (labels[0, cell] > 0) == any(present)
