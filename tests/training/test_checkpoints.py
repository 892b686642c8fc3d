"""Checkpoint files are replaced whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nnunetv2_dycon.training.checkpoints import STATE_KEY, without_training_state, write_checkpoint


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint_final.pth"
    write_checkpoint({"weight": torch.arange(3)}, str(file))
    assert torch.equal(torch.load(file)["weight"], torch.arange(3))
    assert list(tmp_path.iterdir()) == [file]


def test_an_older_file_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint_latest.pth"
    for epoch in (1, 2):
        write_checkpoint({"epoch": epoch}, file)
    assert torch.load(file) == {"epoch": 2}


class FailsWhenPickled:
    def __reduce__(self) -> tuple:
        raise OSError("no space left on device")


def test_a_failing_write_leaves_the_older_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint_latest.pth"
    write_checkpoint({"epoch": 1}, file)
    before = file.read_bytes()
    with pytest.raises(OSError, match="no space left"):
        write_checkpoint({"weight": torch.arange(1000), "bad": FailsWhenPickled()}, file)
    assert file.read_bytes() == before
    write_checkpoint({"epoch": 2}, file)
    assert list(tmp_path.iterdir()) == [file]


def test_a_stock_nnunet_gets_weights_but_no_training_state() -> None:
    checkpoint = {
        "network_weights": {"a": torch.ones(1)},
        "optimizer_state": {"lr": 1},
        "grad_scaler_state": {"scale": 1},
        "current_epoch": 3,
        "trainer_name": "nnUNetTrainerDyCON",
        STATE_KEY: {"student": {}},
    }
    assert without_training_state(checkpoint, "nnUNetTrainer") == {
        "network_weights": checkpoint["network_weights"],
        "optimizer_state": None,
        "grad_scaler_state": None,
        "current_epoch": 3,
        "trainer_name": "nnUNetTrainer",
    }
    assert STATE_KEY in checkpoint
