"""What nnUNetv2_train should have said where it fails before it has made a trainer.

nnU-Net looks the trainer up, and with it this package, before it opens plans and dataset.json. What it raises then
names no file. The hook of :mod:`nnunetv2_dycon.exceptions` asks here what was wrong.
"""

from __future__ import annotations

import traceback as tracebacks
from types import FrameType, TracebackType
from typing import Any

from nnunetv2_dycon.datasets.planned_dataset import read_planned_dataset
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.training.find_trainer import find_trainer

_COMMAND = "nnunetv2.run.run_training"
_PRETRAINED_WEIGHTS = "nnunetv2.run.load_pretrained_weights"
_NETWORK = "nnunetv2.utilities.get_network_from_plans"


def explain(error: BaseException, traceback: TracebackType | None) -> str | None:
    """Say in a sentence what was wrong with the arguments of nnUNetv2_train or the files that they name.

    Args:
        error: that ended the command.
        traceback: of the error. Its frames are read as nnU-Net 2.8.1 has them.

    Returns:
        The sentence; None for an error of another kind.
    """
    frames = [frame for frame, _ in tracebacks.walk_tb(traceback)]
    by_function = {(_module(frame), frame.f_code.co_name): frame.f_locals for frame in frames}
    if (arguments := by_function.get((_COMMAND, "get_trainer_from_args"))) is not None:
        return _fault_of_arguments(arguments)
    if (arguments := by_function.get((_PRETRAINED_WEIGHTS, "load_pretrained_weights"))) is not None:
        first_line, *_ = str(error).splitlines() or [""]
        return (
            f"-pretrained_weights {arguments['fname']} cannot be used ({first_line[:200]}): give a checkpoint of "
            "nnU-Net with the network of these plans."
        )
    if (_NETWORK, "get_network_from_plans") in by_function and not isinstance(error, MemoryError):
        first_line, *_ = str(error).splitlines() or [""]
        return (
            f"The network of the plans cannot be built ({type(error).__name__}: {first_line[:200]}): correct "
            '"architecture" of the configuration, or plan again.'
        )
    if frames and _module(frames[-1]) == _COMMAND and isinstance(error, RuntimeError | AssertionError):
        return str(error)
    return None


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__"))


def _fault_of_arguments(arguments: dict[str, Any]) -> str | None:
    """Look trainer, dataset, plans and configuration up as the command did, with our own errors."""
    try:
        find_trainer(arguments["trainer_name"])
        configuration = arguments["configuration"]
        dataset = read_planned_dataset(
            str(arguments["dataset_name_or_id"]), arguments["plans_identifier"], configuration
        )
        dataset.configuration(configuration)
    except UserError as fault:
        return str(fault)
    return None
