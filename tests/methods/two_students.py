"""What the tests of two students share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.trainers import nnUNetTrainerCML, nnUNetTrainerCoTraining, nnUNetTrainerDyCONCoTraining
from nnunetv2_dycon.training.trainer import nnUNetTrainerSemiSupervised

OFF = {
    nnUNetTrainerCoTraining: {"co_training_weight": 0},
    nnUNetTrainerDyCONCoTraining: {"uncl_weight": 0, "fecl_weight": 0},
    nnUNetTrainerCML: {"mutual_weight": 0, "disagreement_weight": 0},
}


def _name(trainer_class: type[nnUNetTrainerSemiSupervised]) -> str:
    return trainer_class.method_class.__name__


each_method = pytest.mark.parametrize("trainer_class", OFF, ids=_name)
each_method_with_equal_students = pytest.mark.parametrize(
    "trainer_class", [trainer for trainer in OFF if trainer is not nnUNetTrainerCML], ids=_name
)

TrainerClass = type[nnUNetTrainerSemiSupervised]
MakeTrainer = Callable[..., nnUNetTrainer]
Start = Callable[..., nnUNetTrainerSemiSupervised]


def take_steps(trainer: nnUNetTrainer, num_steps: int) -> None:
    for _ in range(num_steps):
        trainer.train_step(next(trainer.dataloader_train))


def seed(value: int) -> None:
    np.random.seed(value)  # noqa: NPY002 (nnU-Net's loaders draw from it)
    torch.manual_seed(value)


def fix_batches(trainer: nnUNetTrainerSemiSupervised) -> tuple[dict, dict]:
    """Give the trainer the same unlabeled batch again and again; returns a labeled and this unlabeled one."""
    labeled, unlabeled = next(trainer.dataloader_train), next(trainer.unlabeled_stream)
    trainer.unlabeled_stream = iter(lambda: unlabeled, None)
    return labeled, unlabeled


def assert_equal(first: dict, second: dict) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
