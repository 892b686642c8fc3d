"""All trainers: one for each method and each of nnU-Net's training lengths, by the name that nnU-Net looks up.

``nnUNetTrainerDyCON``, ``nnUNetTrainerDyCON_100epochs``, ``nnUNetTrainerMeanTeacher`` and so on.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from nnunetv2_dycon.exceptions import print_user_errors_without_traceback
from nnunetv2_dycon.methods import all_methods
from nnunetv2_dycon.methods.check_method import check_method_class
from nnunetv2_dycon.methods.method import Method
from nnunetv2_dycon.training.trainer import nnUNetTrainerSemiSupervised

# nnunetv2.training.nnUNetTrainer.variants.training_length
TRAINING_LENGTHS = (1, 5, 10, 20, 50, 100, 250, 500, 750, 2000, 4000, 8000)

Trainer = type[nnUNetTrainerSemiSupervised]


def trainer_name(method_name: str, num_epochs: int | None) -> str:
    """``nnUNetTrainerMETHOD``, or ``nnUNetTrainerMETHOD_NUMBERepochs``; with no method, nnU-Net's own trainer."""
    length = "" if num_epochs is None else f"_{num_epochs}epoch{'s' if num_epochs > 1 else ''}"
    return f"nnUNetTrainer{method_name}{length}"


def trainer_of(method: type[Method[Any, Any]], num_epochs: int | None = None, module: str | None = None) -> Trainer:
    """Make the trainer of a method.

    Args:
        method: the method.
        num_epochs: the length of the training; None for nnU-Net's 1000.
        module: where the trainer can be imported from; by default that of the method.

    Returns:
        The trainer, see :func:`trainer_name`.

    Raises:
        UserError: for a method that lacks something or contradicts itself, see check_method_class.
    """
    check_method_class(method)
    length = "" if num_epochs is None else f"\n\nThe training is {num_epochs} epochs long."
    attributes = {
        "method_class": method,
        "training_length": num_epochs,
        "__module__": module or method.__module__,
        "__doc__": f"{method.__doc__}{length}",
    }
    return type(trainer_name(method.__name__, num_epochs), (nnUNetTrainerSemiSupervised,), attributes)


def trainers_of(method: type[Method[Any, Any]], module: str | None = None) -> dict[str, Trainer]:
    """Make the trainers of a method, of all lengths, by their names. See :func:`trainer_of`.

    In a file of one's own, ``globals().update(trainers_of(METHOD))`` shows them to nnU-Net.
    """
    trainers = [trainer_of(method, num_epochs, module) for num_epochs in (None, *TRAINING_LENGTHS)]
    return {trainer.__name__: trainer for trainer in trainers}


# nnU-Net's commands look for the plans after they have imported a trainer and before they make it. A program that
# imports this module as a library keeps its own hook.
if Path(sys.argv[0]).name.startswith("nnUNetv2_"):
    print_user_errors_without_traceback()

_TRAINERS = {name: trainer for method in all_methods() for name, trainer in trainers_of(method, __name__).items()}
globals().update(_TRAINERS)
__all__ = list(_TRAINERS)


def __getattr__(name: str) -> Trainer:
    # Tells type checkers that there are names they cannot see; those that exist are found before this is called.
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
