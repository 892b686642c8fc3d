from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.label_efficiency.curves import pseudo_dice_gained_at_the_end, read_curves


def test_gain_of_a_straight_line_is_that_of_a_quarter() -> None:
    assert pseudo_dice_gained_at_the_end([0.01 * epoch for epoch in range(40)]) == pytest.approx(0.1)


def test_only_two_eighths_count() -> None:
    curve = [9.0] * 10 + [0.5, 0.7] + [9.0] * 2 + [0.8, 1.0]
    assert pseudo_dice_gained_at_the_end(curve) == pytest.approx(0.9 - 0.6)
    assert pseudo_dice_gained_at_the_end([*curve[:-1], None]) == pytest.approx(0.8 - 0.6)


def test_too_short_or_empty_curves_have_no_gain() -> None:
    assert pseudo_dice_gained_at_the_end([0.5] * 7) is None
    assert pseudo_dice_gained_at_the_end([None] * 8) is None


def test_log_becomes_plain_numbers(tmp_path: Path) -> None:
    logging = {
        "mean_fg_dice": [np.float32(0.5), float("nan")],
        "dice_per_class_or_region": [[np.float64(0.25), np.nan], [1.0, 0.0]],
        "epoch_start_timestamps": [10.0, 20.0],
        "epoch_end_timestamps": [13.0, 25.0],
    }
    torch.save({"logging": logging}, tmp_path / "checkpoint.pth")
    assert read_curves(tmp_path / "checkpoint.pth") == {
        "mean_fg_dice": [0.5, None],
        "dice_per_class_or_region": [[0.25, None], [1.0, 0.0]],
        "epoch_seconds": [3.0, 5.0],
    }
