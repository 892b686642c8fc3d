"""The settings of an arm, in plans of a name of its own."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from benchmarks.label_efficiency.reduced_plans import CONFIGURATION, PLANS_IDENTIFIER
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.training.trainer import nnUNetTrainerSemiSupervised
from nnunetv2_dycon.training.settings import Value


def settings_in_force(trainer_class: type[nnUNetTrainer], changes: Mapping[str, Value]) -> dict[str, Value]:
    """All settings of a training, defaults filled in.

    Args:
        trainer_class: whose they are; trainers of nnU-Net have none.
        changes: those that differ from the defaults.

    Returns:
        The value of each setting.

    Raises:
        UserError: for a setting that the trainer does not have or that is out of range.
    """
    if not issubclass(trainer_class, nnUNetTrainerSemiSupervised):
        if changes:
            raise UserError(f"{trainer_class.__name__} has no settings, but is given {', '.join(changes)}")
        return {}
    where = f"the settings of {trainer_class.__name__}"
    return dataclasses.asdict(trainer_class.settings_class.from_configuration(dict(changes), where))


def plans_of_arm(
    plans: dict[str, Any], arm: str, trainer_class: type[nnUNetTrainer], changes: Mapping[str, Value]
) -> dict[str, Any]:
    """Plans that carry the settings of an arm, under a name that no other arm has.

    Args:
        plans: those of the benchmark.
        arm: its name.
        trainer_class: names the section of the settings.
        changes: the settings that differ from the defaults.

    Returns:
        A copy.
    """
    plans = copy.deepcopy(plans)
    plans["plans_name"] = f"{PLANS_IDENTIFIER}_{arm}"
    if issubclass(trainer_class, nnUNetTrainerSemiSupervised):
        plans["configurations"][CONFIGURATION][trainer_class.settings_section] = dict(changes)
    return plans
