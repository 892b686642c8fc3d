"""A new training in the folder of a finished one."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from nnunetv2.run.run_training import maybe_load_checkpoint
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.processes import Stopped
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON

Make = Callable[..., nnUNetTrainer]
FINAL, EARLIER, LATEST = "checkpoint_final.pth", "checkpoint_final_earlier.pth", "checkpoint_latest.pth"


@pytest.fixture
def finished(make_trainer: Make) -> Path:
    """The results folder of a training of one epoch."""
    trainer = make_trainer(nnUNetTrainerDyCON, num_epochs=1)
    trainer.run_training()
    return Path(trainer.output_folder)


def test_a_new_training_that_is_stopped_goes_on_and_the_earlier_model_is_kept(
    finished: Path, make_trainer: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = (finished / FINAL).read_bytes()
    trainer = make_trainer(nnUNetTrainerDyCON, num_epochs=2)
    train_step = trainer.train_step

    def step_with_signal(batch: dict) -> dict:
        os.kill(os.getpid(), signal.SIGTERM)
        return train_step(batch)

    monkeypatch.setattr(trainer, "train_step", step_with_signal)
    with pytest.raises(Stopped):
        trainer.run_training()
    assert f"are kept as {EARLIER}, checkpoint_best_earlier.pth" in capsys.readouterr().out
    assert not (finished / FINAL).exists()
    assert (finished / LATEST).is_file()

    # What nnUNetv2_train --c does.
    further = make_trainer(nnUNetTrainerDyCON, num_epochs=2)
    maybe_load_checkpoint(further, continue_training=True, validation_only=False)
    assert further.steps_in_epoch == 1
    further.run_training()
    assert "are kept as" not in capsys.readouterr().out
    assert torch.load(finished / FINAL, weights_only=False)["current_epoch"] == 2
    assert (finished / EARLIER).read_bytes() == model


def test_a_training_that_fails_before_its_first_checkpoint_leaves_the_earlier_one(
    finished: Path, make_trainer: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {file.name: file.read_bytes() for file in finished.glob("checkpoint_*")}
    trainer = make_trainer(nnUNetTrainerDyCON)

    def fail(_: dict) -> dict:
        assert not (finished / FINAL).exists()
        raise RuntimeError("out of memory")

    monkeypatch.setattr(trainer, "train_step", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        trainer.run_training()
    assert {file.name: file.read_bytes() for file in finished.glob("checkpoint_*")} == before


@pytest.mark.parametrize("attribute", ["disable_checkpointing", "local_rank"])
def test_who_writes_no_checkpoint_moves_none(
    finished: Path, make_trainer: Make, monkeypatch: pytest.MonkeyPatch, attribute: str
) -> None:
    trainer = make_trainer(nnUNetTrainerDyCON)
    monkeypatch.setattr(trainer, attribute, 1)
    trainer.interruption.begin()
    assert (finished / FINAL).is_file()
