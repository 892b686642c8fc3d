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

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.processes import Stopped
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON
from nnunetv2_dycon.training.earlier_checkpoints import EarlierCheckpoints, refuse_folds_in_training

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


def write(folder: Path, **contents: str) -> None:
    for name, text in contents.items():
        (folder / f"checkpoint_{name}.pth").write_text(text)


def read(folder: Path) -> dict[str, str]:
    return {file.stem.removeprefix("checkpoint_"): file.read_text() for file in folder.iterdir()}


def test_no_training_replaces_what_an_earlier_one_left(tmp_path: Path) -> None:
    write(tmp_path, final="A", best="A")
    EarlierCheckpoints().move_aside(tmp_path)
    write(tmp_path, latest="B")
    assert EarlierCheckpoints().move_aside(tmp_path) == ["checkpoint_latest_earlier_2.pth"]
    write(tmp_path, final="C")
    third = EarlierCheckpoints()
    assert third.move_aside(tmp_path) == ["checkpoint_final_earlier_3.pth"]
    kept = {"final_earlier": "A", "best_earlier": "A", "latest_earlier_2": "B"}
    assert read(tmp_path) == kept | {"final_earlier_3": "C"}
    third.move_back()
    assert read(tmp_path) == kept | {"final": "C"}


def test_what_a_killed_training_moved_goes_back_when_the_next_one_fails(tmp_path: Path) -> None:
    write(tmp_path, final="A", best="A")
    EarlierCheckpoints().move_aside(tmp_path)
    following = EarlierCheckpoints()
    assert following.move_aside(tmp_path) == ["checkpoint_final_earlier.pth", "checkpoint_best_earlier.pth"]
    following.move_back()
    assert read(tmp_path) == {"final": "A", "best": "A"}


def test_moving_back_replaces_no_file_of_another_process(tmp_path: Path) -> None:
    write(tmp_path, best="A")
    checkpoints = EarlierCheckpoints()
    checkpoints.move_aside(tmp_path)
    write(tmp_path, best="B")
    checkpoints.move_back()
    assert read(tmp_path) == {"best": "B", "best_earlier": "A"}


def test_a_training_with_a_checkpoint_of_its_own_leaves_them_aside(tmp_path: Path) -> None:
    write(tmp_path, final="A")
    checkpoints = EarlierCheckpoints()
    checkpoints.move_aside(tmp_path)
    checkpoints.leave_aside()
    checkpoints.move_back()
    assert read(tmp_path) == {"final_earlier": "A"}


def test_a_fold_that_is_trained_again_is_not_left_out_silently(tmp_path: Path) -> None:
    for fold in ("fold_0", "fold_1"):
        (tmp_path / fold).mkdir()
        write(tmp_path / fold, final="A")
    refuse_folds_in_training(tmp_path, FINAL)
    EarlierCheckpoints().move_aside(tmp_path / "fold_1")
    write(tmp_path / "fold_1", best="B")
    with pytest.raises(UserError, match=r"fold_1 is being trained again and has no checkpoint_final.pth yet"):
        refuse_folds_in_training(tmp_path, FINAL)
    write(tmp_path / "fold_1", final="B")
    refuse_folds_in_training(tmp_path, FINAL)


def test_when_a_failing_training_cannot_save_the_earlier_checkpoints_go_back(
    finished: Path, make_trainer: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {file.name for file in finished.glob("checkpoint_*")}
    trainer = make_trainer(nnUNetTrainerDyCON)

    def fail(_: object) -> None:
        raise RuntimeError("background workers are no longer alive")

    def fail_to_write(_: str) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(trainer, "train_step", fail)
    monkeypatch.setattr(trainer, "save_checkpoint", fail_to_write)
    with pytest.raises(OSError, match="disk full"):
        trainer.run_training()
    assert {file.name for file in finished.glob("checkpoint_*")} == before
