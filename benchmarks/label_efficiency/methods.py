"""Arms that a user adds: a method in a file, or a trainer with settings on the command line."""

from __future__ import annotations

from pathlib import Path

from benchmarks.label_efficiency.arms import Arm
from benchmarks.label_efficiency.find_trainer_class import find_trainer_class, import_file
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.experiment_planning.write_plans_with_settings import parse_assignments
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerSemiSupervised import nnUNetTrainerSemiSupervised

_PREFIX = "nnUNetTrainer"


def arms_of_file(file: Path) -> list[Arm]:
    """One arm for each method that a file defines.

    Args:
        file: Python file with subclasses of nnUNetTrainerSemiSupervised. An arm is named after the class, without
            nnUNetTrainer; the first line of the docstring is its description.

    Returns:
        The arms, in the order of the file.

    Raises:
        UserError: if the file is not there or defines none.
    """
    module = import_file(file)
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, nnUNetTrainerSemiSupervised)
        and value.__module__ == module.__name__
    ]
    if not classes:
        raise UserError(f"{file} defines no subclass of nnUNetTrainerSemiSupervised")
    return [
        Arm(
            name=trainer_class.__name__.removeprefix(_PREFIX),
            trainer=f"{file.resolve()}:{trainer_class.__name__}",
            description=(trainer_class.__doc__ or "").strip().split("\n")[0],
            group="added",
        )
        for trainer_class in classes
    ]


def arm_of_definition(words: list[str]) -> Arm:
    """An arm from the command line.

    Args:
        words: name, trainer (see :func:`find_trainer_class`), then settings as NAME=VALUE.

    Returns:
        The arm.

    Raises:
        UserError: if words are missing, there is no such trainer, or a setting is unknown or out of range.
    """
    if len(words) < 2:
        raise UserError("--define needs the name of an arm and a trainer, then settings as NAME=VALUE")
    name, trainer, *assignments = words
    settings = parse_assignments(assignments)
    trainer_class = find_trainer_class(trainer)
    semi_supervised = issubclass(trainer_class, nnUNetTrainerSemiSupervised)
    if semi_supervised:
        trainer_class.settings_class.from_configuration(settings, f"--define {name}")
    elif settings:
        raise UserError(f"--define {name}: {trainer} has no settings")
    description = " ".join([trainer_class.__name__, *assignments])
    return Arm(name, trainer, description, "added", settings, needs_unlabeled=semi_supervised)
