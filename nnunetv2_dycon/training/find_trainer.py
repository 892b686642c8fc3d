"""Looking trainers up as nnU-Net does."""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import re
import traceback
import warnings

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.training.trainer import nnUNetTrainerSemiSupervised


def find_trainer(name: str, option: str = "-tr") -> type[nnUNetTrainer]:
    """Look up a trainer by name, through nnU-Net's own function.

    Args:
        name: of the trainer.
        option: of a command line after which the name was given, for messages.

    Raises:
        UserError: when nnU-Net finds no such trainer.
    """
    try:
        # nnU-Net tells which folders it looks through and imports all its trainers, some with old dependencies.
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return recursive_find_trainer_class_by_name(name)
    except UserError:
        raise
    except RuntimeError as error:
        if (sentence := _other_lengths(name, option)) is not None:
            raise UserError(sentence) from error
        names = {_without_prefix(known): known for known in _names_of_trainers()}
        close = difflib.get_close_matches(_without_prefix(name), names, n=1)
        problem = f"{str(error).rstrip('. ')}."
        if name in names.values():
            hint = "nnU-Net does not look into the folder of this package: nnunetv2_dycon doctor says why."
            raise UserError(f"{problem} {hint}") from error
        if close and "Could not find" in problem:
            raise UserError(f"There is no trainer {name}. Did you mean {names[close[0]]}?") from error
        raise UserError(f"{problem} Correct the name after {option}.") from error
    except Exception as error:
        if "issubclass" not in str(error) and "must inherit" not in str(error):
            folders = os.environ.get("nnUNet_extTrainer", "")
            raise UserError(
                f"A Python file in one of the folders of nnUNet_extTrainer ({folders}) cannot be imported: {error} "
                f"({_place(error)}). Correct it, or take the folder out of the variable."
            ) from error
        # nnU-Net takes whatever has that name in a trainer's file and then finds that it is none.
        raise UserError(f"{name} is not a trainer of nnU-Net. Correct the name after {option}.") from error


def _without_prefix(name: str) -> str:
    """What of a trainer's name tells it from others."""
    return name.lower().removeprefix(nnUNetTrainer.__name__.lower())


def _place(error: Exception) -> str:
    """The kind of an error, and the file and line that it comes from."""
    *_, frame = traceback.extract_tb(error.__traceback__)
    file, line = frame.filename, frame.lineno
    if isinstance(error, SyntaxError) and error.filename is not None:
        file, line = error.filename, error.lineno
    return f"{type(error).__name__}, {file}, line {line}"


def _other_lengths(name: str, option: str) -> str | None:
    """Which lengths there are, for the name of a trainer that is there with another length than there is."""
    from nnunetv2_dycon.trainers import TRAINING_LENGTHS, trainer_name

    asked = re.fullmatch(r"(\w+)_\d+epochs?", name)
    if asked is None or asked[1] not in _names_of_trainers():
        return None
    *others, last = (trainer_name("", number).removeprefix(nnUNetTrainer.__name__) for number in TRAINING_LENGTHS)
    return (
        f"There is no trainer {name}: {asked[1]} trains for 1000 epochs, and with {', '.join(others)} or {last} after "
        f"its name for so many. Correct the name after {option}."
    )


def _names_of_trainers() -> list[str]:
    from nnunetv2_dycon import trainers  # which imports this package's trainer, as nnU-Net's lookup does

    return [*trainers.__all__, nnUNetTrainer.__name__]


def supervised_counterpart(name: str) -> str:
    """nnU-Net's own trainer of the same length, for the trainer of a method; another trainer's name as it is.

    A subclass of a method's trainer has no counterpart, since nobody knows which of its changes are to be kept. Nor has
    a length that nnU-Net does not have.

    Raises:
        UserError: see :func:`find_trainer`.
    """
    from nnunetv2_dycon.trainers import TRAINING_LENGTHS, trainer_name

    trainer_class = find_trainer(name)
    if not issubclass(trainer_class, nnUNetTrainerSemiSupervised):
        return name
    length = trainer_class.training_length
    is_of_method = name == trainer_name(trainer_class.method_class.__name__, length)
    return trainer_name("", length) if is_of_method and length in (None, *TRAINING_LENGTHS) else name


def find_semi_supervised_trainer(name: str) -> type[nnUNetTrainerSemiSupervised]:
    """Look up a semi-supervised trainer by name. See :func:`find_trainer`.

    Raises:
        UserError: when nnU-Net finds no such trainer, or one that is not semi-supervised.
    """
    trainer_class = find_trainer(name)
    if not issubclass(trainer_class, nnUNetTrainerSemiSupervised):
        raise UserError(
            f"{name} is not a semi-supervised trainer: it has neither teacher nor settings. Choose another with -tr, "
            "such as nnUNetTrainerDyCON."
        )
    return trainer_class
