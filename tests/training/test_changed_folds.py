"""A training goes on, and is validated, with the folds that it began with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON
from nnunetv2_dycon.training.checkpoints import STATE_KEY
from tests.conftest import Workspace

CASES = [f"demo_{number:03d}" for number in range(6)]


@pytest.fixture
def resume(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]) -> Callable[..., nnUNetTrainerDyCON]:
    """A trainer that has loaded the checkpoint of one that learnt from these cases."""

    def resume(train: list[str], fold: int | str = 0) -> nnUNetTrainerDyCON:
        workspace.write_splits({"train": train, "val": ["demo_005"]})
        first = make_trainer(nnUNetTrainerDyCON, fold=fold)
        first.initialize()
        file = Path(first.output_folder) / "checkpoint_latest.pth"
        first.save_checkpoint(str(file))
        trainer = make_trainer(nnUNetTrainerDyCON, fold=fold)
        trainer.load_checkpoint(str(file))
        return trainer

    return resume


@pytest.mark.parametrize(("key", "words"), [("val", "for validation"), ("unlabeled", 'under "unlabeled"')])
@pytest.mark.parametrize("start", ["on_train_start", "perform_actual_validation"])
def test_labels_that_were_learnt_are_neither_for_validation_nor_off_limits_later(
    workspace: Workspace, resume: Callable[..., nnUNetTrainerDyCON], start: str, key: str, words: str
) -> None:
    trainer = resume(CASES[:4])
    split = {"train": CASES[:3], "val": ["demo_005"], "unlabeled": []}
    workspace.write_splits({**split, key: [*split[key], "demo_003"]})
    with pytest.raises(UserError, match=rf"has demo_003 {words} in fold 0 now.*learnt from its label\."):
        getattr(trainer, start)()


def test_a_training_goes_on_with_further_training_cases(
    workspace: Workspace, resume: Callable[..., nnUNetTrainerDyCON]
) -> None:
    trainer = resume(CASES[:3])
    workspace.write_splits({"train": [*CASES[:2], "demo_003"], "val": ["demo_005"]})
    trainer.on_train_start()
    trainer.on_train_end()
    saved = torch.load(Path(trainer.output_folder) / "checkpoint_final.pth", weights_only=False)
    # What one of them has learnt stays in the weights.
    assert saved[STATE_KEY]["training_cases"] == CASES[:4]


def test_fold_all_validates_on_its_training_cases(resume: Callable[..., nnUNetTrainerDyCON]) -> None:
    trainer = resume(CASES[:3], fold="all")
    assert trainer.earlier_training_cases == set(CASES)
    trainer.on_train_start()
