"""A training goes on, and is validated, with the folds that it began with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON
from nnunetv2_dycon.training.checkpoints import STATE_KEY, TRAINING_CASES_KEY, read_checkpoint
from tests.conftest import Workspace

CASES = [f"demo_{number:03d}" for number in range(6)]


@pytest.fixture
def resume(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]) -> Callable[..., nnUNetTrainerDyCON]:
    """A trainer that has loaded the checkpoint of one that learnt from these cases."""

    def resume(train: list[str], val: Sequence[str] = ("demo_005",), fold: int | str = 0) -> nnUNetTrainerDyCON:
        workspace.write_splits({"train": train, "val": list(val)})
        first = make_trainer(nnUNetTrainerDyCON, fold=fold)
        first.initialize()
        first.on_train_epoch_start()
        file = Path(first.output_folder) / "checkpoint_latest.pth"
        first.save_checkpoint(str(file))
        trainer = make_trainer(nnUNetTrainerDyCON, fold=fold)
        trainer.load_checkpoint(str(file))
        return trainer

    return resume


@pytest.mark.parametrize("start", ["on_train_start", "perform_actual_validation"])
def test_labels_that_were_learnt_are_not_for_validation_later(
    workspace: Workspace, resume: Callable[..., nnUNetTrainerDyCON], start: str
) -> None:
    trainer = resume(CASES[:4])
    workspace.write_splits({"train": CASES[:3], "val": ["demo_005", "demo_003"]})
    message = (
        r'"val" of fold 0, has demo_003 now, and the model in .*fold_0 has learnt from its label\. Put back the folds'
    )
    with pytest.raises(UserError, match=message):
        getattr(trainer, start)()


def test_labels_that_were_learnt_are_not_off_limits_later(
    workspace: Workspace, resume: Callable[..., nnUNetTrainerDyCON]
) -> None:
    trainer = resume(CASES[:4])
    workspace.write_splits({"train": CASES[:2], "val": ["demo_005"], "unlabeled": ["demo_002", "demo_003"]})
    with pytest.raises(UserError, match=r'"unlabeled" of fold 0, has demo_002, demo_003 now.*learnt from their labels'):
        trainer.on_train_start()
    # Refused before the hours that unlabeled cases may take.
    assert not list(workspace.preprocessed.glob("*_unlabeled/*/demo_003*"))
    trainer.perform_actual_validation()


def test_a_split_that_nnunet_draws_anew_is_refused_as_such(
    resume: Callable[..., nnUNetTrainerDyCON],
) -> None:
    trainer = resume(CASES, fold=7)
    trainer.training_cases = frozenset(CASES)
    with pytest.raises(UserError, match=r"random split for fold 7, which .*splits_final\.json lacks, has demo_"):
        trainer.on_train_start()


def test_cases_for_training_and_for_validation_on_purpose_stay_both(resume: Callable[..., nnUNetTrainerDyCON]) -> None:
    trainer = resume(CASES[:5], val=CASES[3:])
    assert trainer.training_cases == set(CASES[:5])
    trainer.on_train_start()
    trainer.perform_actual_validation()


def test_a_training_goes_on_with_further_training_cases(
    workspace: Workspace, resume: Callable[..., nnUNetTrainerDyCON]
) -> None:
    trainer = resume(CASES[:3])
    workspace.write_splits({"train": [*CASES[:2], "demo_003"], "val": ["demo_005"]})
    trainer.on_train_start()
    # Nothing is learnt before the first epoch.
    assert _noted(trainer) == CASES[:3]
    trainer.on_train_epoch_start()
    # What an earlier fold had stays in the weights.
    assert _noted(trainer) == CASES[:4]


def test_fold_all_validates_on_its_training_cases(resume: Callable[..., nnUNetTrainerDyCON]) -> None:
    trainer = resume(CASES[:3], fold="all")
    assert trainer.training_cases == set(CASES)
    trainer.on_train_start()


def test_what_an_older_checkpoint_has_learnt_stays_unknown(
    resume: Callable[..., nnUNetTrainerDyCON], make_trainer: Callable[..., nnUNetTrainer]
) -> None:
    first = resume(CASES[:4])
    file = Path(first.output_folder) / "checkpoint_latest.pth"
    checkpoint = torch.load(file, weights_only=False)
    del checkpoint[STATE_KEY][TRAINING_CASES_KEY]
    torch.save(checkpoint, file)
    trainer = make_trainer(nnUNetTrainerDyCON)
    trainer.load_checkpoint(str(file))
    assert "does not say which labels it has learnt from" in Path(trainer.log_file).read_text()
    trainer.on_train_epoch_start()
    assert _noted(trainer) is None


@pytest.mark.parametrize("fold", [0, 7])
def test_folds_that_nnunet_makes_leave_a_checkpoint_that_is_read_safely(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer], fold: int
) -> None:
    if fold == 0:
        (workspace.preprocessed / "splits_final.json").unlink()
    trainer = make_trainer(nnUNetTrainerDyCON, fold=fold)
    trainer.initialize()
    trainer.on_train_epoch_start()
    file = Path(trainer.output_folder) / "checkpoint_final.pth"
    trainer.save_checkpoint(str(file))
    cases = read_checkpoint(file, "cpu", weights_only=True)[STATE_KEY][TRAINING_CASES_KEY]
    assert cases == sorted(trainer.do_split()[0])


def _noted(trainer: nnUNetTrainerDyCON) -> list[str] | None:
    file = Path(trainer.output_folder) / "checkpoint_best.pth"
    trainer.save_checkpoint(str(file))
    cases: list[str] | None = torch.load(file, weights_only=False)[STATE_KEY][TRAINING_CASES_KEY]
    return cases
