"""Looking up the trainer of an arm."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import sys
import warnings
from pathlib import Path
from types import ModuleType

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

from nnunetv2_dycon.exceptions import UserError


def find_trainer_class(reference: str) -> type[nnUNetTrainer]:
    """Look up a trainer.

    Args:
        reference: ``MODULE:CLASS``, ``FILE.py:CLASS``, or a name for nnU-Net's own look-up.

    Returns:
        The class.

    Raises:
        UserError: if there is no such module, file or trainer.
    """
    place, _, name = reference.rpartition(":")
    if not place:
        return _find_as_nnunet_does(name)
    if place.endswith(".py"):
        module = import_file(Path(place))
    else:
        try:
            module = importlib.import_module(place)
        except ModuleNotFoundError as error:
            raise UserError(f"the trainer {name} cannot be imported: {error}") from error
    trainer_class = getattr(module, name, None)
    if not (isinstance(trainer_class, type) and issubclass(trainer_class, nnUNetTrainer)):
        raise UserError(f"{place} has no trainer {name}: name a subclass of nnUNetTrainer")
    return trainer_class


def import_file(file: Path) -> ModuleType:
    """Import a Python file that lies anywhere.

    Args:
        file: the file.

    Returns:
        The module, the same one for the same file.

    Raises:
        UserError: if there is no such file.
    """
    if not file.is_file():
        raise UserError(f"there is no file {file}")
    file = file.resolve()
    name = f"label_efficiency_method_{file.stem}"
    known = sys.modules.get(name)
    if known is not None and known.__file__ == str(file):
        return known
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    # Before it is executed, as dataclasses look their module up.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _find_as_nnunet_does(name: str) -> type[nnUNetTrainer]:
    try:
        # nnU-Net tells which folders it looks through and imports all its trainers, some with old dependencies.
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return recursive_find_trainer_class_by_name(name)
    except RuntimeError as error:
        raise UserError(f"nnU-Net finds no trainer {name}: {error}") from error
