"""Taking nnU-Net's target apart."""

from __future__ import annotations

import pytest
import torch
from nnunetv2.utilities.label_handling.label_handling import LabelManager

from nnunetv2_dycon.training.split_target import split_target

CLASSES = {"background": 0, "organ": 1, "tumour": 2}
REGIONS = {"background": 0, "whole": [1, 2], "tumour": 2}


@pytest.mark.parametrize(("labels", "order"), [(CLASSES, None), (REGIONS, [1, 2])])
def test_without_ignore_label_the_target_stays_and_nothing_is_ignored(labels: dict, order: list[int] | None) -> None:
    target = torch.zeros(2, 1, 4, 4)
    split = split_target(target, LabelManager(labels, order))
    assert split.target is target
    assert split.ignored is None


def test_labels_are_ignored_where_they_are_the_ignore_label() -> None:
    target = torch.tensor([-1.0, 0, 1, 2, 3]).view(1, 1, 5, 1)
    split = split_target(target, LabelManager({**CLASSES, "ignore": 3}, None))
    assert split.target is target
    assert split.ignored.flatten().tolist() == [False, False, False, False, True]


def test_the_last_region_is_what_is_ignored() -> None:
    target = torch.tensor([[1, 1, 0], [0, 1, 0], [0, 0, 1]]).view(1, 3, 3, 1)
    split = split_target(target, LabelManager({**REGIONS, "ignore": 3}, [1, 2]))
    assert torch.equal(split.target, target[:, :2])
    assert split.ignored.shape == (1, 1, 3, 1)
    assert split.ignored.flatten().tolist() == [False, False, True]
