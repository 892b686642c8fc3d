from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.label_efficiency import training
from benchmarks.label_efficiency.runs import write_whole_json
from benchmarks.label_efficiency.training import read_curves
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.files import hash_file


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


def test_labels_of_an_interrupted_attempt_keep_the_checkpoint_that_predicted_them(tmp_path: Path) -> None:
    checkpoint, marker = tmp_path / "checkpoint_final.pth", tmp_path / "preprocessed.json"
    checkpoint.write_bytes(b"weights")
    write_whole_json(marker, {"file": str(checkpoint), "sha256": hash_file(checkpoint)})
    assert training._predicting_checkpoint(marker, tmp_path) == checkpoint
    checkpoint.write_bytes(b"other weights")
    with pytest.raises(UserError, match=r"were predicted with another .*checkpoint_final\.pth: remove"):
        training._predicting_checkpoint(marker, tmp_path)
    checkpoint.unlink()
    with pytest.raises(UserError, match="were predicted with another"):
        training._predicting_checkpoint(marker, tmp_path)
