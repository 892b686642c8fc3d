"""The settings with which an arm is trained."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from benchmarks.label_efficiency.arms import Arm
from benchmarks.label_efficiency.presets import PLANS_IDENTIFIER
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.methods.settings import Value
from nnunetv2_dycon.training.trainer import nnUNetTrainerSemiSupervised


def settings_in_force(
    trainer_class: type[nnUNetTrainer], changes: Mapping[str, Value], where: str | None = None
) -> dict[str, Value]:
    """The value of each setting of a training, defaults filled in; none for a trainer of nnU-Net.

    Args:
        trainer_class: whose settings they are.
        changes: those that differ from the defaults.
        where: they were given, for messages; None for the trainer's name.

    Raises:
        UserError: for a setting that the trainer does not have or that is out of range.
    """
    where = f"the settings of {trainer_class.__name__}" if where is None else where
    if issubclass(trainer_class, nnUNetTrainerSemiSupervised):
        return dataclasses.asdict(trainer_class.method_class.settings_class.from_configuration(dict(changes), where))
    if changes:
        raise UserError(f"{where}: {trainer_class.__name__} has no settings, but is given {', '.join(changes)}")
    return {}


def plans_of_arm(
    plans: dict[str, Any], configuration: str, arm: Arm, trainer_class: type[nnUNetTrainer]
) -> dict[str, Any]:
    """A copy of the benchmark's plans that carries the settings of an arm, under a name that no other arm has."""
    plans = copy.deepcopy(plans)
    plans["plans_name"] = f"{PLANS_IDENTIFIER}_{arm.name}"
    if issubclass(trainer_class, nnUNetTrainerSemiSupervised):
        plans["configurations"][configuration][trainer_class.method_class.settings_section] = dict(arm.settings)
    return plans
