"""Checkpoints that cannot be used are refused in one sentence; those of other releases can."""

from __future__ import annotations

import math
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from nnunetv2.run import run_training
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.commands.main import main
from nnunetv2_dycon.exceptions import UserError, print_user_errors_without_traceback
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON
from nnunetv2_dycon.training.checkpoints import STATE_KEY

if TYPE_CHECKING:
    from tests.conftest import SMALL_PLANS, Workspace
else:
    from tests.conftest import SMALL_PLANS

TRAINER = "nnUNetTrainerDyCONShort"


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:1000])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def write_text(file: Path) -> None:
    file.write_text("no checkpoint")


def write_another_pickle(file: Path) -> None:
    torch.save([1, 2], file)


def remove_the_optimizer(file: Path) -> None:
    checkpoint = torch.load(file, weights_only=False)
    del checkpoint["optimizer_state"]
    torch.save(checkpoint, file)


BREAK = {
    truncate: "cannot be read as a checkpoint (",
    empty: "cannot be read as a checkpoint (",
    write_text: "cannot be read as a checkpoint (",
    write_another_pickle: "is no checkpoint of nnU-Net: it lacks network_weights",
    remove_the_optimizer: "is no checkpoint of nnU-Net: it lacks optimizer_state",
}


class Command:
    """nnUNetv2_train in this process; returns what a user reads of an error."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, *options: object, plans: str = SMALL_PLANS) -> str:
        arguments = ["501", "3d_fullres", "0", "-tr", TRAINER, "-p", plans, "-device", "cpu", *map(str, options)]
        self.monkeypatch.setattr(sys, "argv", ["nnUNetv2_train", *arguments])
        self.monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
        self.monkeypatch.setattr(sys, "excepthook", _fail)
        print_user_errors_without_traceback()
        with pytest.raises(Exception) as error:  # noqa: PT011 (whatever the process would end with)
            run_training.run_training_entry()
        self.capsys.readouterr()
        sys.excepthook(error.type, error.value, error.tb)
        return self.capsys.readouterr().err


def _fail(*_: object) -> None:
    raise AssertionError("the user would see a traceback")


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


@pytest.fixture
def folder(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]) -> Path:
    """The fold's folder, with checkpoint_final.pth and checkpoint_best.pth."""
    trainer = make_trainer(nnUNetTrainerDyCON, num_epochs=1)
    trainer.run_training()
    model = workspace.results / f"{TRAINER}__{SMALL_PLANS}__3d_fullres"
    shutil.copytree(Path(trainer.output_folder_base), model)
    return model / "fold_0"


def test_broken_checkpoints_are_named_with_the_remedy(
    folder: Path, train: Command, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    final, best = folder / "checkpoint_final.pth", folder / "checkpoint_best.pth"
    good = final.read_bytes()
    for break_file, message in BREAK.items():
        final.write_bytes(good)
        break_file(final)
        for option in ("--c", "--val"):
            text = train(option)
            assert f"Error: {final} {message}" in text
            assert text.strip().endswith("Remove it, and --c goes on from checkpoint_best.pth, which is beside it.")
        if break_file is not remove_the_optimizer:
            assert f"Error: -pretrained_weights {final} cannot be used (" in train("-pretrained_weights", final)
        arguments = ["export", "-d", "501", "-tr", TRAINER, "-p", SMALL_PLANS, "-o", str(workspace.root / "model")]
        assert main(arguments) == 1
        text = capsys.readouterr().err
        assert f"Error: {final} {message}" in text
        assert text.strip().endswith("Name another checkpoint with -chk, or other folds with -f.")
    final.unlink()
    truncate(best)
    assert "Remove it and start the training again: there is no other one in its folder." in train("--c")


def test_a_checkpoint_of_another_architecture(folder: Path, train: Command, workspace: Workspace) -> None:
    plans = workspace.read_plans()
    plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]["features_per_stage"] = [4, 8, 8]
    workspace.write_plans(plans, "nnUNetPlansOther")
    other = folder.parent.with_name(f"{TRAINER}__nnUNetPlansOther__3d_fullres") / "fold_0"
    shutil.copytree(folder, other)
    text = train("--c", plans="nnUNetPlansOther")
    start, _, difference = text.partition(" is of another network: ")
    assert start == f"\nError: {other / 'checkpoint_final.pth'}"
    assert re.match(
        r"\S+ is of shape \(.*16.*\) there and of shape \(.*8.*\) in the network of the present", difference
    )
    text = train("-pretrained_weights", folder / "checkpoint_final.pth", plans="nnUNetPlansOther")
    assert f"Error: -pretrained_weights {folder / 'checkpoint_final.pth'} cannot be used (" in text


def test_a_value_that_an_older_release_did_not_log_is_nan(
    folder: Path, make_trainer: Callable[..., nnUNetTrainer]
) -> None:
    file = folder / "checkpoint_final.pth"
    checkpoint = torch.load(file, weights_only=False)
    del checkpoint["logging"]["uncl_share"]
    checkpoint["logging"]["of_an_older_release"] = [1.0]
    torch.save(checkpoint, file)
    trainer = make_trainer(nnUNetTrainerDyCON, num_epochs=2)
    trainer.load_checkpoint(str(file))
    trainer.run_training()
    log = trainer.logger.get_checkpoint()
    assert len(log["uncl_share"]) == 2
    assert math.isnan(log["uncl_share"][0])
    assert "of_an_older_release" not in log


def test_a_checkpoint_can_be_given_as_a_dictionary(folder: Path, make_trainer: Callable[..., nnUNetTrainer]) -> None:
    checkpoint = torch.load(folder / "checkpoint_final.pth", weights_only=False)
    trainer = make_trainer(nnUNetTrainerDyCON)
    trainer.load_checkpoint(checkpoint)
    assert trainer.current_epoch == 1
    for name, weight in trainer.network.state_dict().items():
        assert torch.equal(weight, checkpoint[STATE_KEY]["student"][name])


class RunsCode:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("code of the checkpoint runs",)


def test_export_does_not_run_code_of_a_checkpoint(
    folder: Path, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "checkpoint_final.pth"
    checkpoint = torch.load(file, weights_only=False)
    torch.save({**checkpoint, "more": RunsCode()}, file)
    arguments = ["export", "-d", "501", "-tr", TRAINER, "-p", SMALL_PLANS, "-o", str(workspace.root / "model")]
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert "(it holds Python objects other than weights and numbers, which could run code)" in captured.err
    assert "code of the checkpoint runs" not in captured.out
    torch.save(checkpoint, file)
    assert main(arguments) == 0


def test_the_error_is_a_user_error(folder: Path, make_trainer: Callable[..., nnUNetTrainer]) -> None:
    empty(folder / "checkpoint_final.pth")
    with pytest.raises(UserError):
        make_trainer(nnUNetTrainerDyCON).load_checkpoint(str(folder / "checkpoint_final.pth"))
