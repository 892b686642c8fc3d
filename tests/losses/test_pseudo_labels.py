"""The largest components of hard pseudo-labels."""

from __future__ import annotations

import torch

from nnunetv2_dycon.losses.pseudo_labels import largest_components


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
