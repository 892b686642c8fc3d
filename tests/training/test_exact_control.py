"""With unsupervised weights 0, nnUNetTrainerDyCON is nnUNetTrainer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.trainers import nnUNetTrainerDyCON
from tests.settings import FULL_WEIGHTS_AT_ONCE

if TYPE_CHECKING:
    from tests.conftest import Workspace

NUM_STEPS = 20


def _weights_after(trainer: nnUNetTrainer, num_steps: int) -> dict[str, torch.Tensor]:
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    for _ in range(num_steps):
        trainer.train_step(next(trainer.dataloader_train))
    return trainer.network.state_dict()


def test_weights_are_equal_bit_for_bit(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]) -> None:
    workspace.write_settings("nnUNetPlansOff", uncl_weight=0, fecl_weight=0)
    reference = _weights_after(make_trainer(nnUNetTrainer), NUM_STEPS)
    weights = _weights_after(make_trainer(nnUNetTrainerDyCON, "nnUNetPlansOff"), NUM_STEPS)
    assert reference.keys() == weights.keys()
    for name, value in reference.items():
        assert torch.equal(value, weights[name]), name


def test_losses_change_the_weights(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]) -> None:
    workspace.write_settings("nnUNetPlansOn", **FULL_WEIGHTS_AT_ONCE)
    reference = _weights_after(make_trainer(nnUNetTrainer), 2)
    weights = _weights_after(make_trainer(nnUNetTrainerDyCON, "nnUNetPlansOn"), 2)
    assert any(not torch.equal(value, weights[name]) for name, value in reference.items())
