"""Mirroring whole batches."""

from __future__ import annotations

import pytest
import torch

from nnunetv2_dycon.training.data_augmentation.mirroring import random_mirror_axes


def test_each_allowed_axis_is_drawn_half_of_the_time_independently_of_the_others() -> None:
    torch.manual_seed(0)
    draws = [tuple(random_mirror_axes((0, 2))) for _ in range(4000)]
    assert set(draws) == {(), (2,), (4,), (2, 4)}
    for axes in set(draws):
        assert draws.count(axes) / len(draws) == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("allowed", [None, ()])
def test_nothing_is_mirrored_where_nnunet_does_not_mirror(allowed: tuple[int, ...] | None) -> None:
    assert random_mirror_axes(allowed) == []
