from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from benchmarks.label_efficiency.training import read_curves


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
