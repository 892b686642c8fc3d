"""Scans that cannot be resampled, or are not there, are refused before that is tried."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.preprocessing import scan_checks
from nnunetv2_dycon.preprocessing.scan_checks import check_target_shape, memory_limit, refuse_missing_file


def check(
    spacing: tuple[Any, ...], target: tuple[float, ...] = (1.0, 1.0, 1.0), image: np.ndarray | None = None
) -> None:
    image = np.ones((1, 20, 24, 28), np.float32) if image is None else image
    plans: Any = SimpleNamespace(transpose_forward=[0, 1, 2])
    configuration: Any = SimpleNamespace(spacing=list(target))
    check_target_shape(image, spacing, plans, configuration)


@pytest.mark.parametrize("spacing", [(1, 1, 1), (5.0, 0.7, 0.7), (0.1, 1, 1)])
def test_usual_spacings_pass(spacing: tuple[float, ...]) -> None:
    check(spacing)


@pytest.mark.parametrize("spacing", [(1000.0, 1000.0, 1000.0), (1e9, 1, 1), (1e30, 1e30, 1e30)])
def test_more_than_the_memory_is_refused(spacing: tuple[float, ...]) -> None:
    with pytest.raises(UserError, match=r"has the spacing 1e?.* mm: resampled to the plans' 1 x 1 x 1 mm .* of memory"):
        check(spacing)


@pytest.mark.parametrize("spacing", [(0.001, 0.001, 0.001), (1, 1, 0.01)])
def test_no_voxel_is_refused(spacing: tuple[float, ...]) -> None:
    with pytest.raises(UserError, match="which has no voxel"):
        check(spacing)


@pytest.mark.parametrize("spacing", [(0.0, 1, 1), (-1, 1, 1), (float("nan"), 1, 1), (float("inf"), 1, 1)])
def test_a_spacing_that_is_none_is_refused(spacing: tuple[float, ...]) -> None:
    with pytest.raises(UserError, match="which must be above 0"):
        check(spacing)


def test_in_2d_the_spacing_between_slices_does_not_matter() -> None:
    check((1e9, 1.0, 1.0), target=(1.0, 1.0))
    with pytest.raises(UserError, match="memory"):
        check((1.0, 1e6, 1e6), target=(1.0, 1.0))


def test_the_limit_is_that_of_the_scan_without_the_zeros_around(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.zeros((1, 20, 20, 20), np.float32)
    image[:, 5:15, 5:15, 5:15] = 1
    # Twice as fine: 20 * 20 * 20 voxels of the image and of a channel more, in 4 bytes.
    monkeypatch.setattr(scan_checks, "memory_limit", lambda: 8000 * 2 * 4)
    check((2.0, 2.0, 2.0), image=image)
    monkeypatch.setattr(scan_checks, "memory_limit", lambda: 8000 * 2 * 4 - 1)
    with pytest.raises(UserError, match="has the shape 20 x 20 x 20, which takes"):
        check((2.0, 2.0, 2.0), image=image)


def test_the_limit_of_this_machine_is_plausible() -> None:
    limit = memory_limit()
    assert limit is None or 2**27 < limit < 2**50


def test_files_that_are_no_files_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    refuse_missing_file(tmp_path / "there")
    (tmp_path / "link").symlink_to("nowhere")
    for name, message in (
        ("link", "is a link to nowhere, which is not there"),
        ("gone", "was there before but is not there"),
        (".", "is a folder, not a scan"),
    ):
        with pytest.raises(UserError, match=message):
            refuse_missing_file(tmp_path / name)
