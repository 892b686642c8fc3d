"""A new training in the folder of a finished one."""

from __future__ import annotations

import os
import shutil
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
from nnunetv2_dycon.training.earlier_training import EarlierTraining, refuse_folds_in_training

Make = Callable[..., nnUNetTrainer]
FINAL, LATEST, EARLIER = "checkpoint_final.pth", "checkpoint_latest.pth", "earlier_training_1"


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
    assert f"validation of the earlier one are now in {finished / EARLIER}. " in capsys.readouterr().out
    assert not (finished / FINAL).exists()
    assert (finished / LATEST).is_file()

    # What nnUNetv2_train --c does.
    further = make_trainer(nnUNetTrainerDyCON, num_epochs=2)
    maybe_load_checkpoint(further, continue_training=True, validation_only=False)
    assert further.steps_in_epoch == 1
    further.run_training()
    assert "earlier one" not in capsys.readouterr().out
    assert torch.load(finished / FINAL, weights_only=False)["current_epoch"] == 2
    assert (finished / EARLIER / FINAL).read_bytes() == model


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
    files = sorted(folder.rglob("*.pth"))
    return {str(file.relative_to(folder)).replace("checkpoint_", "")[:-4]: file.read_text() for file in files}


def test_no_training_replaces_what_an_earlier_one_left(tmp_path: Path) -> None:
    write(tmp_path, final="A", best="A")
    assert EarlierTraining().move_aside(tmp_path) == tmp_path / "earlier_training_1"
    write(tmp_path, latest="B")
    assert EarlierTraining().move_aside(tmp_path) == tmp_path / "earlier_training_2"
    write(tmp_path, final="C")
    third = EarlierTraining()
    third.move_aside(tmp_path)
    kept = {"earlier_training_1/final": "A", "earlier_training_1/best": "A", "earlier_training_2/latest": "B"}
    assert read(tmp_path) == kept | {"earlier_training_3/final": "C"}
    assert third.move_back() == ["checkpoint_final.pth"]
    assert read(tmp_path) == kept | {"final": "C"}
    assert not (tmp_path / "earlier_training_3").exists()


def test_a_move_that_was_cut_short_is_finished_whatever_was_removed(tmp_path: Path) -> None:
    partial = tmp_path / "earlier_training_2_partial"
    partial.mkdir()
    write(partial, final="B")
    with pytest.raises(UserError, match="is being trained again"):
        refuse_folds_in_training([tmp_path], FINAL)
    assert EarlierTraining().move_aside(tmp_path) == tmp_path / "earlier_training_2"
    assert read(tmp_path) == {"earlier_training_2/final": "B"}


def test_the_number_of_a_folder_that_was_removed_is_not_used_again(tmp_path: Path) -> None:
    (tmp_path / "earlier_training_2").mkdir()
    write(tmp_path, final="C")
    assert EarlierTraining().move_aside(tmp_path) == tmp_path / "earlier_training_3"


def test_the_validation_goes_with_the_checkpoints(tmp_path: Path) -> None:
    write(tmp_path, final="A")
    summary = tmp_path / "validation" / "summary.json"
    summary.parent.mkdir()
    summary.touch()
    training = EarlierTraining()
    kept = training.move_aside(tmp_path)
    assert kept is not None
    assert not summary.exists()
    assert (kept / "validation" / "summary.json").is_file()
    assert training.move_back() == ["checkpoint_final.pth", "validation"]
    assert summary.is_file()


def test_a_validation_without_checkpoints_is_not_taken_for_the_new_training_s(tmp_path: Path) -> None:
    (tmp_path / "validation").mkdir()
    EarlierTraining().move_aside(tmp_path)
    assert (tmp_path / "earlier_training_1" / "validation").is_dir()


def test_where_nothing_was_written_there_is_nothing_to_move(tmp_path: Path) -> None:
    (tmp_path / "training_log.txt").touch()
    training = EarlierTraining()
    assert training.move_aside(tmp_path) is None
    assert training.move_back() == []
    assert [path.name for path in tmp_path.iterdir()] == ["training_log.txt"]


def test_another_start_that_fails_leaves_the_earlier_training_aside(tmp_path: Path) -> None:
    """A training that is running and has written nothing yet would find the earlier one in its place."""
    write(tmp_path, final="A")
    EarlierTraining().move_aside(tmp_path)
    other = EarlierTraining()
    assert other.move_aside(tmp_path) is None
    assert other.move_back() == []
    assert read(tmp_path) == {"earlier_training_1/final": "A"}


@pytest.mark.parametrize("killed_after", [0, 1, 2, 3])
def test_a_killed_move_leaves_the_final_checkpoint_or_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_after: int
) -> None:
    contents = {"final": "A", "latest": "A", "best": "A"}
    write(tmp_path, **contents)
    replace, moves = Path.replace, []

    def replace_until_killed(self: Path, target: Path) -> Path:
        if len(moves) == killed_after:
            raise SystemExit
        moves.append(self)
        return replace(self, target)

    with monkeypatch.context() as context:
        context.setattr(Path, "replace", replace_until_killed)
        with pytest.raises(SystemExit):
            EarlierTraining().move_aside(tmp_path)
    assert (tmp_path / FINAL).is_file() == (killed_after < 3)
    training = EarlierTraining()
    training.move_aside(tmp_path)
    assert read(tmp_path) == {f"earlier_training_1/{name}": "A" for name in contents}
    training.move_back()
    assert read(tmp_path) == contents


def test_a_move_that_fails_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, final="A", best="A")
    replace = Path.replace

    def fail_at_the_final_one(self: Path, target: Path) -> Path:
        if self.name == FINAL:
            raise OSError("disk full")
        return replace(self, target)

    training = EarlierTraining()
    with monkeypatch.context() as context:
        context.setattr(Path, "replace", fail_at_the_final_one)
        with pytest.raises(UserError, match=r"cannot be moved to .*earlier_training_1 \(disk full\): move or remove"):
            training.move_aside(tmp_path)
    training.move_back()
    assert read(tmp_path) == {"final": "A", "best": "A"}


def test_nothing_moves_back_beside_a_checkpoint_of_another_process(tmp_path: Path) -> None:
    """The earlier final one would be what ``--c`` takes."""
    write(tmp_path, final="A", best="A")
    training = EarlierTraining()
    training.move_aside(tmp_path)
    write(tmp_path, best="B")
    assert training.move_back() == []
    assert read(tmp_path) == {"best": "B", "earlier_training_1/final": "A", "earlier_training_1/best": "A"}


def test_a_training_with_a_checkpoint_of_its_own_leaves_the_earlier_one_aside(tmp_path: Path) -> None:
    write(tmp_path, final="A")
    training = EarlierTraining()
    training.move_aside(tmp_path)
    training.leave_aside()
    assert training.move_back() == []
    assert read(tmp_path) == {"earlier_training_1/final": "A"}


def test_a_fold_that_is_trained_again_is_not_left_out_silently(tmp_path: Path) -> None:
    folds = [tmp_path / "fold_0", tmp_path / "fold_1"]
    for fold in folds:
        fold.mkdir()
        write(fold, final="A")
    refuse_folds_in_training(folds, FINAL)
    EarlierTraining().move_aside(folds[1])
    write(folds[1], final="B")
    refuse_folds_in_training(folds, FINAL)
    EarlierTraining().move_aside(folds[1])
    # As users may who need the oldest no more.
    shutil.rmtree(folds[1] / "earlier_training_1")
    write(folds[1], best="C")
    with pytest.raises(UserError, match=r"fold_1 is being trained again and has no checkpoint_final.pth.*training_2"):
        refuse_folds_in_training(folds, FINAL)


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


def test_a_move_that_was_interrupted_is_not_mixed_with_what_was_written_since(tmp_path: Path) -> None:
    partial = tmp_path / "earlier_training_1_partial"
    partial.mkdir()
    write(partial, best="A")
    write(tmp_path, best="B", final="B")
    assert EarlierTraining().move_aside(tmp_path) == tmp_path / "earlier_training_2"
    assert read(tmp_path) == {
        "earlier_training_1/best": "A",
        "earlier_training_2/best": "B",
        "earlier_training_2/final": "B",
    }
