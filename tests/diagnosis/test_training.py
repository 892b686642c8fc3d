"""What the doctor finds in results folders; its verdicts on real trainings are in training/test_watch.py."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from nnunetv2_dycon.diagnosis.training import diagnose_trainings
from nnunetv2_dycon.training.checkpoints import STATE_KEY, TRAINING_CASES_KEY

if TYPE_CHECKING:
    from tests.conftest import Workspace

TRAINER, PLANS = "nnUNetTrainerDyCON", "nnUNetPlansOld"
# Results of release 0.1.0: two epochs, of which checkpoint_latest.pth holds both.
OLD = Path(__file__).parents[1] / "training" / "version_0_1_0" / f"{TRAINER}__{PLANS}__3d_fullres"

TOO_FEW = "too few to judge yet: the rules look at 20 epochs in a row"


@pytest.fixture
def results(workspace: Workspace) -> Path:
    """The results folder of the earlier release, where nnU-Net looks for it."""
    folder = workspace.results / OLD.name
    shutil.copytree(OLD, folder)
    return folder


def diagnose(*folds: str) -> list[str]:
    return [str(finding) for finding in diagnose_trainings("501", TRAINER, PLANS, "3d_fullres", folds)]


def test_without_a_training_there_is_nothing_to_say(workspace: Workspace) -> None:
    assert diagnose() == [f"[ok] {workspace.results / OLD.name} has no training yet"]


def test_a_training_of_another_configuration_is_pointed_to(workspace: Workspace, results: Path) -> None:
    other = results.rename(results.with_name(f"{TRAINER}__{PLANS}__2d")).name
    assert diagnose() == [
        f"[note] {workspace.results / OLD.name} has no training yet. This trainer has {other}. Correct -c or -p."
    ]


def test_a_fold_that_is_not_there_is_a_problem(results: Path) -> None:
    assert diagnose("3") == [f"[problem] {results} has no training of fold 3, but those of 0: correct -f"]


def test_a_fold_that_has_just_begun(results: Path) -> None:
    (results / "fold_1").mkdir()
    assert diagnose("1") == ["[note] fold 1 has no checkpoint: unless its training has just begun, train it"]


def test_what_an_earlier_release_did_not_finish_is_left_alone(results: Path) -> None:
    (line,) = diagnose()
    assert line.startswith(
        f"[note] fold 0: {results / 'fold_0' / 'checkpoint_latest.pth'} does not say how many epochs"
    )


def test_what_an_earlier_release_finished_is_judged(results: Path) -> None:
    fold = results / "fold_0"
    final = (fold / "checkpoint_latest.pth").rename(fold / "checkpoint_final.pth")
    too_short = "too short a training to judge: the rules look at 3 epochs in a row"
    assert diagnose() == [f"[note] fold 0: 2 of 2 epochs are in {final}, {too_short}"]
    # Ten epochs, of which the last five collapsed.
    checkpoint = torch.load(final, weights_only=False)
    logged = checkpoint["logging"]
    for name, values in logged.items():
        logged[name] = [values[-1]] * 10
    logged["teacher_pseudo_dice"] = logged["student_pseudo_dice"] = [np.float64(0.8)] * 5 + [np.float64(0.0)] * 5
    logged["teacher_entropy"] = [0.1] * 5 + [1e-6] * 5
    torch.save(checkpoint, final)
    found, *verdicts = diagnose()
    assert found == f"[ok] fold 0: 10 of 10 epochs are in {final}"
    assert any(verdict.startswith("[problem] fold 0, epoch 7: Collapse: ") for verdict in verdicts)


@pytest.mark.parametrize("key", ["val", "unlabeled"])
def test_a_training_that_has_learnt_from_labels_which_its_fold_holds_back_now(
    workspace: Workspace, results: Path, key: str
) -> None:
    workspace.write_splits({"train": ["demo_000", "demo_001"], "val": ["demo_001", "demo_002"]})
    file = results / "fold_0" / "checkpoint_latest.pth"
    checkpoint = torch.load(file, weights_only=False)
    checkpoint[STATE_KEY][TRAINING_CASES_KEY] = ["demo_000", "demo_001", "demo_003"]
    torch.save(checkpoint, file)
    assert len(diagnose()) == 1
    split = {"train": ["demo_000", "demo_001"], "val": ["demo_002"], "unlabeled": []}
    workspace.write_splits({**split, key: [*split[key], "demo_003"]})
    line = diagnose()[1]
    assert line.startswith("[problem] ")
    assert f"has demo_003 now, and the model in {results / 'fold_0'} has learnt from its label" in line


def test_a_checkpoint_that_cannot_be_read_does_not_hide_the_others(results: Path) -> None:
    (results / "fold_1").mkdir()
    (results / "fold_1" / "checkpoint_final.pth").write_bytes(b"half")
    first, second = diagnose()
    assert first.startswith("[note] fold 0: ")
    assert second.startswith(f"[problem] {results / 'fold_1' / 'checkpoint_final.pth'} cannot be read as a checkpoint")


def test_the_newer_checkpoint_is_read(results: Path) -> None:
    latest = results / "fold_0" / "checkpoint_latest.pth"
    best = latest.with_name("checkpoint_best.pth")
    checkpoint = torch.load(latest, weights_only=False)
    checkpoint[STATE_KEY]["num_epochs"] = 1000
    torch.save(checkpoint, best)
    assert diagnose() == [f"[ok] fold 0: 2 of 1000 epochs are in {best}, {TOO_FEW}"]


@pytest.mark.parametrize(("epochs", "num_epochs"), [(0, 1), (1, 1), (0, 5), (5, 5)])
def test_a_training_whose_unlabeled_scans_never_counted(results: Path, epochs: int, num_epochs: int) -> None:
    latest = results / "fold_0" / "checkpoint_latest.pth"
    checkpoint = torch.load(latest, weights_only=False)
    checkpoint[STATE_KEY] |= {"num_epochs": num_epochs, "term_weights": {"uncl": 1.0}}
    checkpoint["logging"] = {name: values[:1] * epochs for name, values in checkpoint["logging"].items()}
    checkpoint["logging"]["ramp"] = [0.0] * epochs
    torch.save(checkpoint, latest)
    first, *verdicts = diagnose()
    assert "nothing speaks against it" not in first
    mark = "note" if num_epochs == 1 else "ok"
    assert first.startswith(f"[{mark}] fold 0: {epochs} of {num_epochs} epoch{'s' if num_epochs > 1 else ''} are in")
    if epochs < 3:
        assert "the rules look at 3 epochs in a row" in first
    assert len(verdicts) == (epochs == num_epochs)
    mark = "note" if num_epochs == 1 else "problem"
    for verdict in verdicts:
        assert verdict.startswith(f"[{mark}] fold 0, epoch {epochs - 1}: The unlabeled scans never counted")


def test_a_checkpoint_of_nnunets_own_trainer_has_nothing_to_judge(results: Path) -> None:
    latest = results / "fold_0" / "checkpoint_latest.pth"
    checkpoint = torch.load(latest, weights_only=False)
    del checkpoint[STATE_KEY]
    torch.save({**checkpoint, "trainer_name": "nnUNetTrainer"}, latest)
    assert diagnose() == [f"[ok] fold 0: {latest} was written by nnUNetTrainer, which has no teacher"]


def test_a_training_that_has_begun_anew_beside_the_results_of_another(results: Path) -> None:
    latest = results / "fold_0" / "checkpoint_latest.pth"
    checkpoint = torch.load(latest, weights_only=False)
    checkpoint[STATE_KEY]["num_epochs"] = 1000
    final = latest.with_name("checkpoint_final.pth")
    torch.save(checkpoint, final)
    os.utime(final, (0, 0))
    torch.save(checkpoint, latest)
    assert diagnose() == [f"[ok] fold 0: 2 of 1000 epochs are in {latest}, {TOO_FEW}"]


@pytest.mark.parametrize("state", [{"settings": {}}, {}, None, "student"])
def test_a_checkpoint_of_another_package(results: Path, state: object) -> None:
    latest = results / "fold_0" / "checkpoint_latest.pth"
    torch.save({**torch.load(latest, weights_only=False), STATE_KEY: state}, latest)
    (line,) = diagnose()
    assert line.startswith(
        f'[problem] {latest} is no checkpoint of nnunetv2_dycon: its "semi_supervised" lacks version'
    )
    assert line.endswith("Remove it, and look again.")


@pytest.mark.parametrize("logged", [{}, None, {"train_losses": []}])
def test_a_checkpoint_without_a_log(results: Path, logged: object) -> None:
    latest = results / "fold_0" / "checkpoint_latest.pth"
    torch.save({**torch.load(latest, weights_only=False), "logging": logged}, latest)
    assert diagnose() == [f"[problem] {latest} has no log of a semi-supervised training. Remove it, and look again."]
