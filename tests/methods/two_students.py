"""What the tests of two students share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.trainers import nnUNetTrainerCoTraining, nnUNetTrainerDyCONCoTraining
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerTwoStudents import nnUNetTrainerTwoStudents

AT_ONCE = {"warmup_fraction": 0, "rampup_fraction": 0}
OFF = {
    nnUNetTrainerCoTraining: {"co_training_weight": 0},
    nnUNetTrainerDyCONCoTraining: {"uncl_weight": 0, "fecl_weight": 0},
}
both_methods = pytest.mark.parametrize("trainer_class", OFF, ids=lambda trainer: trainer.method_class.settings_section)

TrainerClass = type[nnUNetTrainerTwoStudents]
MakeTrainer = Callable[..., nnUNetTrainer]
Start = Callable[..., nnUNetTrainerTwoStudents]


def take_steps(trainer: nnUNetTrainer, num_steps: int) -> None:
    for _ in range(num_steps):
        trainer.train_step(next(trainer.dataloader_train))


def seed(value: int) -> None:
    np.random.seed(value)  # noqa: NPY002 (nnU-Net's loaders draw from it)
    torch.manual_seed(value)


def fix_batches(trainer: nnUNetTrainerTwoStudents) -> tuple[dict, dict]:
    """Give the trainer the same unlabeled batch again and again; returns a labeled and this unlabeled one."""
    labeled, unlabeled = next(trainer.dataloader_train), next(trainer.unlabeled_stream)
    trainer.unlabeled_stream = iter(lambda: unlabeled, None)
    return labeled, unlabeled


def assert_equal(first: dict, second: dict) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
