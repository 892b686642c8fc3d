"""Verdicts in the log of real trainings, each made to fail in one way, and the doctor's words on them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon import trainers
from nnunetv2_dycon.commands.main import main
from nnunetv2_dycon.training.verdicts import first_verdicts
from tests.settings import FULL_WEIGHTS_AT_ONCE

if TYPE_CHECKING:
    from tests.conftest import Workspace

PLANS = "nnUNetPlansOn"


class Stream:
    """Batches that are there at once, or late by a share of the time that a step takes."""

    def __init__(self, batches: list[dict], delay: float) -> None:
        self._batches, self._delay = itertools.cycle(batches), delay
        self._last = time.perf_counter()

    def __next__(self) -> dict:
        time.sleep(self._delay * (time.perf_counter() - self._last))
        self._last = time.perf_counter()
        return next(self._batches)

    def close(self) -> None:
        """Nothing is open."""


def short_trainer(delay: float) -> type[nnUNetTrainer]:
    """DyCON's trainer under its own name, with batches that are drawn beforehand."""

    class nnUNetTrainerDyCON(trainers.nnUNetTrainerDyCON):
        def get_dataloaders(self) -> tuple:
            loaders = super().get_dataloaders()
            if self.unlabeled_stream is not None:
                batches = [next(self.unlabeled_stream) for _ in range(4)]
                self.unlabeled_stream = Stream(batches, delay)
            return loaders

    return nnUNetTrainerDyCON


@pytest.fixture
def train(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]) -> Callable[..., nnUNetTrainer]:
    """A function that trains with settings, by default with a teacher that is its student."""

    def run(*, num_epochs: int = 6, steps: int = 3, delay: float = 0.0, **settings: Any) -> nnUNetTrainer:
        workspace.write_settings(PLANS, **{**FULL_WEIGHTS_AT_ONCE, "ema_decay": 0, **settings})
        trainer = make_trainer(short_trainer(delay), PLANS, num_epochs=num_epochs)
        trainer.num_iterations_per_epoch = steps
        trainer.run_training()
        return trainer

    return run


def lines(trainer: nnUNetTrainer) -> list[str]:
    """What the log says."""
    logs = sorted(Path(trainer.output_folder).glob("training_log_*.txt"))
    found = [line for log in logs for line in log.read_text().splitlines() if "Is it working? " in line]
    return [line.split("Is it working? ")[1].strip() for line in found]


def names(trainer: nnUNetTrainer) -> set[str]:
    return {verdict.name for _, verdict in first_verdicts(trainer.watch.curves())}


def doctor(capsys: pytest.CaptureFixture[str], *arguments: str) -> Iterator[str]:
    """The lines about trainings."""
    main(["doctor", "-d", "501", "-tr", "nnUNetTrainerDyCON", "-p", PLANS, *arguments])
    return (line for line in capsys.readouterr().out.splitlines() if "] fold" in line)


def test_a_training_that_works(train: Callable[..., nnUNetTrainer], capsys: pytest.CaptureFixture[str]) -> None:
    """The teacher is listened to once it has learnt something, in the second half."""
    trainer = train(num_epochs=8, steps=15, warmup_fraction=0.5, fecl_weight=1)
    assert lines(trainer) == []
    for name in ("weak_view_entropy", "weak_view_foreground_fraction", "labeled_foreground_fraction"):
        values = np.array(trainer.logger.get_value(name, step=None))
        assert np.isnan(values).tolist() == [True] * 4 + [False] * 4, name
        assert (values[4:] > 0).all(), name
        assert (values[4:] < 1).all(), name
    final = Path(trainer.output_folder) / "checkpoint_final.pth"
    assert list(doctor(capsys)) == [f"[ok] fold 0: 8 of 8 epochs are in {final}, and nothing speaks against it"]


def test_a_collapse(train: Callable[..., nnUNetTrainer], capsys: pytest.CaptureFixture[str]) -> None:
    """The entropy term of the released code, far stronger, on a young teacher that sees foreground everywhere."""
    trainer = train(num_epochs=8, uncl_weight=100, uncl_entropy_weight=10, copy_paste_fraction=0, fecl_weight=0)
    assert {"collapse", "foreground drift", "large share of uncl"} <= names(trainer)
    said = lines(trainer)
    assert any(line.startswith("Collapse: ") and "Lower uncl_weight" in line for line in said)
    # The doctor says what the log says, with the epoch.
    _, *found = doctor(capsys)
    assert [line.split(": ", 1)[1] for line in found] == said
    assert all(line.startswith("[problem] fold 0, epoch ") for line in found)


def test_a_teacher_that_stays_behind(train: Callable[..., nnUNetTrainer]) -> None:
    trainer = train(num_epochs=6, steps=20, ema_decay=0.99999, uncl_weight=0, fecl_weight=0)
    assert names(trainer) == {"teacher below student"}
    (line,) = lines(trainer)
    assert "Lower ema_decay" in line


def test_a_term_without_effect(train: Callable[..., nnUNetTrainer], capsys: pytest.CaptureFixture[str]) -> None:
    trainer = train(num_epochs=4, fecl_weight=1e-6)
    assert names(trainer) == {"small share of fecl"}
    assert len(lines(trainer)) == 1
    _, found = doctor(capsys)
    assert found.startswith("[note] fold 0, epoch 2: fecl is ")


def test_a_stream_that_is_late(train: Callable[..., nnUNetTrainer]) -> None:
    trainer = train(num_epochs=4, delay=0.5)
    assert names(trainer) == {"waiting"}
    (line,) = lines(trainer)
    assert "nnUNet_n_proc_DA" in line


def test_labels_that_are_not_learnt(train: Callable[..., nnUNetTrainer]) -> None:
    trainer = train(wait_for_labels=True)
    assert names(trainer) == {"labels not learnt"}
    (line,) = lines(trainer)
    assert "wait_for_labels=false" in line


def test_a_training_that_goes_on_is_not_told_again(
    train: Callable[..., nnUNetTrainer],
    make_trainer: Callable[..., nnUNetTrainer],
    capsys: pytest.CaptureFixture[str],
) -> None:
    trainer = train(num_epochs=4, fecl_weight=1e-6)
    further = make_trainer(short_trainer(0.5), PLANS, num_epochs=7, continue_training=True)
    further.load_checkpoint(str(Path(trainer.output_folder) / "checkpoint_final.pth"))
    further.run_training()
    said = lines(further)
    subjects = [line.split(" ")[0] for line in said]
    assert subjects[0] == "fecl"
    assert len(subjects) == len(set(subjects))
    state = torch.load(Path(trainer.output_folder) / "checkpoint_final.pth", weights_only=False)["semi_supervised"]
    assert state["num_epochs"] == 7
    assert len(list(doctor(capsys, "-f", "0"))) == len(said) + 1
