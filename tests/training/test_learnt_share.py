"""The unsupervised weights wait until the labels are learnt."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.trainers import nnUNetTrainerDyCON, nnUNetTrainerGACPS
from nnunetv2_dycon.training.learnt_share import learnt_share, why_not_yet
from tests.settings import FULL_WEIGHTS_AT_ONCE

if TYPE_CHECKING:
    from tests.conftest import Workspace


def end_epoch(trainer: nnUNetTrainer, train_loss: float) -> None:
    """Leave the first epoch behind, with this mean of nnU-Net's loss."""
    trainer.logger.log("train_losses", train_loss, 0)
    trainer.current_epoch = 1


@pytest.mark.parametrize(("train_loss", "share"), [(0.3, 0), (-0.1, 0.2), (-0.5, 1), (-0.8, 1)])
def test_the_teacher_has_a_say_as_far_as_the_labels_are_learnt(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer], train_loss: float, share: float
) -> None:
    workspace.write_settings("nnUNetPlansRamp", warmup_fraction=0, rampup_fraction=0)
    trainer = make_trainer(nnUNetTrainerDyCON, "nnUNetPlansRamp")
    assert trainer.ramp == 0
    end_epoch(trainer, train_loss)
    assert trainer.ramp == pytest.approx(share)


@pytest.mark.parametrize("train_loss", [math.nan, math.inf, -math.inf])
def test_an_epoch_whose_loss_is_not_finite_is_passed_over(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer], train_loss: float
) -> None:
    workspace.write_settings("nnUNetPlansRamp", warmup_fraction=0, rampup_fraction=0)
    trainer = make_trainer(nnUNetTrainerDyCON, "nnUNetPlansRamp", num_epochs=3)
    trainer.logger.log("train_losses", train_loss, 0)
    trainer.current_epoch = 1
    assert trainer.ramp == 0
    trainer.logger.log("train_losses", -0.25, 0)
    trainer.logger.log("train_losses", train_loss, 1)
    trainer.current_epoch = 2
    assert trainer.ramp == pytest.approx(0.5)


def test_why_they_wait_is_said_where_there_is_something_to_wait_for(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]
) -> None:
    for uncl_weight in (1, 0):
        workspace.write_settings("nnUNetPlansRamp", warmup_fraction=0, rampup_fraction=0, uncl_weight=uncl_weight)
        trainer = make_trainer(nnUNetTrainerDyCON, "nnUNetPlansRamp")
        trainer.logger.log("ramp", 0.0, 0)
        assert (why_not_yet(trainer, trainer.settings) is None) == (uncl_weight == 0)


def test_it_always_has_where_a_setting_says_so(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]
) -> None:
    workspace.write_settings("nnUNetPlansOff", **FULL_WEIGHTS_AT_ONCE)
    assert make_trainer(nnUNetTrainerDyCON, "nnUNetPlansOff").ramp == 1


def test_it_always_has_where_the_supervised_loss_is_another_one(make_trainer: Callable[..., nnUNetTrainer]) -> None:
    trainer = make_trainer(nnUNetTrainerGACPS)
    assert trainer.settings.wait_for_labels
    assert learnt_share(trainer, trainer.settings) == 1
