"""Looking up arms and trainers: those of the benchmark, and those that users add."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from benchmarks.label_efficiency.arm_settings import settings_in_force
from benchmarks.label_efficiency.arms import ARMS, TRAINER_PREFIX, Arm
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.experiment_planning.plans import parse_assignments
from nnunetv2_dycon.methods.settings import Value
from nnunetv2_dycon.training.find_trainer import find_trainer
from nnunetv2_dycon.training.trainer import nnUNetTrainerSemiSupervised


def find_trainer_class(reference: str) -> type[nnUNetTrainer]:
    """Look up the trainer of an arm.

    Args:
        reference: the name of a trainer that nnU-Net finds, ``FILE.py:CLASS`` or ``MODULE:CLASS``.

    Raises:
        UserError: if there is no such module, file or trainer.
    """
    place, _, name = reference.rpartition(":")
    if not place:
        return find_trainer(name)
    if place.endswith(".py"):
        module = _import_file(Path(place))
    else:
        try:
            module = importlib.import_module(place)
        except ModuleNotFoundError as error:
            raise UserError(f"the trainer {name} cannot be imported: {error}") from error
    trainer_class = getattr(module, name, None)
    if not (isinstance(trainer_class, type) and issubclass(trainer_class, nnUNetTrainer)):
        raise UserError(f"{place} has no trainer {name}: name a subclass of nnUNetTrainer")
    return trainer_class


def find_arm(name: str) -> Arm:
    """An arm by its name.

    Args:
        name: a key of :data:`ARMS`, or X for a trainer nnUNetTrainerX that nnU-Net finds, which is run with its
            defaults: a new method of the package, or a trainer in a folder of ``nnUNet_extTrainer``.

    Raises:
        UserError: if there is neither.
    """
    if name in ARMS:
        return ARMS[name]
    trainer = f"{TRAINER_PREFIX}{name}"
    try:
        trainer_class = find_trainer(trainer)
    except UserError as error:
        raise UserError(
            f"--arms: there is no {name}, and nnU-Net finds no trainer {trainer}. There are {', '.join(ARMS)}"
        ) from error
    return _added_arm(trainer_class, trainer)


def settings_of_arm(arm: Arm) -> dict[str, Value]:
    """The settings with which an arm is trained now, defaults filled in.

    Those of self-training are those of the trainings before it, as ``ARM.SETTING``, since its labels come from them.
    """
    settings = settings_in_force(find_trainer_class(arm.trainer), arm.settings)
    if arm.kind == "self-training":
        before = settings_of_arm(ARMS[arm.first_arm])
        named = {name if "." in name else f"{arm.first_arm}.{name}": value for name, value in before.items()}
        return named | settings
    return settings


def arms_of_file(file: Path) -> list[Arm]:
    """One arm for each method that a file defines.

    Args:
        file: Python file with trainers, as trainers_of makes them of a method, or subclasses of
            nnUNetTrainerSemiSupervised. An arm is named after the class, without nnUNetTrainer; the first line of the
            docstring is its description. Trainers of other lengths than nnU-Net's own are left out.

    Returns:
        The arms, in the order of the file.

    Raises:
        UserError: if the file is not there or defines none.
    """
    module = _import_file(file)
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, nnUNetTrainerSemiSupervised)
        and value.__module__ == module.__name__
        and value.training_length is None
    ]
    if not classes:
        raise UserError(f"{file} defines no trainer: make one of a method with globals().update(trainers_of(METHOD))")
    return [_added_arm(each, f"{file.resolve()}:{each.__name__}") for each in classes]


def arm_of_definition(words: list[str]) -> Arm:
    """An arm from the command line.

    Args:
        words: name, trainer (see :func:`find_trainer_class`), then settings as NAME=VALUE.

    Raises:
        UserError: if words are missing, there is no such trainer, or a setting is unknown or out of range.
    """
    if len(words) < 2:
        raise UserError("--define needs the name of an arm and a trainer, then settings as NAME=VALUE")
    name, trainer, *assignments = words
    settings = parse_assignments(assignments)
    trainer_class = find_trainer_class(trainer)
    settings_in_force(trainer_class, settings, f"--define {name}")
    description = " ".join([trainer_class.__name__, *assignments])
    needs_unlabeled = issubclass(trainer_class, nnUNetTrainerSemiSupervised)
    return Arm(name, trainer, description, "added", settings, needs_unlabeled=needs_unlabeled)


def _added_arm(trainer_class: type[nnUNetTrainer], trainer: str) -> Arm:
    return Arm(
        name=trainer_class.__name__.removeprefix(TRAINER_PREFIX),
        trainer=trainer,
        description=(trainer_class.__doc__ or "").strip().split("\n")[0],
        group="added",
        needs_unlabeled=issubclass(trainer_class, nnUNetTrainerSemiSupervised),
    )


def _import_file(file: Path) -> ModuleType:
    """Import a Python file that lies anywhere; the same file gives the same module."""
    if not file.is_file():
        raise UserError(f"there is no file {file}")
    file = file.resolve()
    name = f"label_efficiency_method_{file.stem}"
    known = sys.modules.get(name)
    if known is not None and known.__file__ == str(file):
        return known
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UserError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # Before it is executed, as dataclasses look their module up.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
