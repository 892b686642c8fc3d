"""Hard pseudo-labels."""

from __future__ import annotations

import pytest
import torch

from nnunetv2_dycon.training.hard_pseudo_labels import hard_pseudo_labels, largest_components


@pytest.mark.parametrize("num_classes", [2, 3, 6])
def test_classes_are_the_most_probable_and_the_lowest_of_equal_ones(num_classes: int) -> None:
    generator = torch.Generator().manual_seed(0)
    # Few different values, so that there are ties.
    logits = torch.randint(3, (2, num_classes, 6, 5, 4), generator=generator).half()
    labels = hard_pseudo_labels(logits)
    assert labels.dtype == torch.int16
    expected = (logits == logits.amax(1, keepdim=True)).int().argmax(1, keepdim=True)
    assert torch.equal(labels.long(), expected)


def test_regions_are_those_above_one_half() -> None:
    logits = torch.tensor([-1.0, 0.0, 0.1, 3.0]).view(1, 2, 2, 1)
    assert hard_pseudo_labels(logits, regions=True).flatten().tolist() == [False, False, True, True]


def test_nothing_waits_for_the_device() -> None:
    # A tensor on the meta device has no values: whatever asks for one raises.
    for regions in (False, True):
        hard_pseudo_labels(torch.empty(2, 3, 4, 4, device="meta"), regions=regions)


def test_the_largest_component_of_each_class_of_each_patch_is_kept() -> None:
    labels = torch.tensor(
        [
            [[1, 1, 0, 1], [0, 1, 0, 0], [2, 0, 2, 0], [0, 0, 0, 2]],
            [[0, 0, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]],
        ],
        dtype=torch.int16,
    ).unsqueeze(1)
    kept = torch.tensor(
        [
            [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 2]],
            [[0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]],
        ],
        dtype=torch.int16,
    ).unsqueeze(1)
    before = labels.clone()
    result = largest_components(labels)
    assert result.dtype == labels.dtype
    assert torch.equal(result, kept)
    assert torch.equal(labels, before)


def test_the_largest_component_of_each_region_is_kept() -> None:
    regions = torch.zeros(1, 2, 5, 5, 5, dtype=torch.bool)
    regions[0, 0, :3, :3, :3] = True
    regions[0, 0, 4, 4, 4] = True
    regions[0, 1, 4, 4, 3:] = True
    result = largest_components(regions)
    assert result.dtype == torch.bool
    assert result[0, 0].sum() == 27
    assert torch.equal(result[0, 1], regions[0, 1])


def test_patches_without_foreground_stay_empty() -> None:
    assert not largest_components(torch.zeros(2, 1, 4, 4, dtype=torch.int16)).any()
