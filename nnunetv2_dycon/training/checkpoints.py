"""Checkpoints that nnU-Net can read, with the training state of students and moving average beside."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import Tensor, nn

from nnunetv2_dycon import __version__
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.files import written_aside
from nnunetv2_dycon.methods.settings import MethodSettings
from nnunetv2_dycon.training.class_locations import ClassLocations
from nnunetv2_dycon.training.students import Students

STATE_KEY = "semi_supervised"
# See learnt_labels.py.
TRAINING_CASES_KEY = "training_cases"
_KEYS_OF_STATE = ("version", "settings", "student", "auxiliary", "teacher")
_DEPLOYED_PREFIX = "module.network."
FINAL_CHECKPOINT, LATEST_CHECKPOINT, BEST_CHECKPOINT = (
    "checkpoint_final.pth",
    "checkpoint_latest.pth",
    "checkpoint_best.pth",
)
# What --c takes: nnunetv2.run.run_training.maybe_load_checkpoint.
IN_ORDER_OF_NNUNET = (FINAL_CHECKPOINT, LATEST_CHECKPOINT, BEST_CHECKPOINT)
_KEYS_OF_NNUNET = (
    "network_weights",
    "optimizer_state",
    "grad_scaler_state",
    "logging",
    "_best_ema",
    "current_epoch",
    "init_args",
    "trainer_name",
)


def checkpoint_of(
    trainer: nnUNetTrainer, students: Students, settings: MethodSettings, class_locations: ClassLocations
) -> dict[str, Any]:
    """What nnUNetTrainer.save_checkpoint of 2.8.1 writes, with the weights to deploy, and our state beside.

    The tensors are those of the training, each of them once.
    """
    first, *_ = students
    student, average = first.network.state_dict(), students.average.state_dict()
    teacher = {
        key.removeprefix(_DEPLOYED_PREFIX): value for key, value in average.items() if key.startswith(_DEPLOYED_PREFIX)
    }
    return {
        "network_weights": teacher if settings.deployed_network == "teacher" else student,
        "optimizer_state": trainer.optimizer.state_dict(),
        "grad_scaler_state": None if trainer.grad_scaler is None else trainer.grad_scaler.state_dict(),
        "logging": trainer.logger.get_checkpoint(),
        "_best_ema": trainer._best_ema,
        "current_epoch": trainer.current_epoch + 1,
        "init_args": trainer.my_init_kwargs,
        "trainer_name": type(trainer).__name__,
        "inference_allowed_mirroring_axes": trainer.inference_allowed_mirroring_axes,
        STATE_KEY: {
            "version": __version__,
            "settings": dataclasses.asdict(settings),
            # For the verdicts on the training.
            "num_epochs": trainer.num_epochs,
            "term_weights": trainer.method.term_weights(),
            "least_supervised_loss": trainer.method.least_supervised_loss,
            TRAINING_CASES_KEY: None if trainer.training_cases is None else sorted(trainer.training_cases),
            "student": student,
            "auxiliary": students.auxiliary.state_dict(),
            "teacher": average,
            "class_locations": class_locations.state_dict(),
        },
    }


def is_whole(file: Path) -> bool:
    """Whether a checkpoint is there and was written to its end, which has the table of contents of PyTorch's format.

    nnU-Net's own trainers write checkpoints in place, so a killed one can leave a part.

    Raises:
        OSError: for a file that cannot be read.
    """
    try:
        with file.open("rb") as opened:
            return zipfile.is_zipfile(opened)
    except FileNotFoundError:
        return False


def read_checkpoint(
    file: str | os.PathLike[str],
    device: torch.device | str,
    *,
    weights_only: bool = False,
    remedy: str | None = None,
) -> dict[str, Any]:
    """Read a checkpoint of nnU-Net's.

    Args:
        file: the checkpoint.
        device: where its tensors go.
        weights_only: refuse files that hold anything but tensors, numbers and text, and so could run code. Needs
            PyTorch 2.5; earlier ones read any file.
        remedy: for error messages; by default what ``--c`` would do without the file.

    Raises:
        UserError: for a file that is not there, not whole, or no checkpoint of nnU-Net's.
    """
    checkpoint = read_saved(file, device, weights_only=weights_only, remedy=remedy)
    missing = [key for key in _KEYS_OF_NNUNET if not isinstance(checkpoint, dict) or key not in checkpoint]
    if missing:
        raise UserError(f"{file} is no checkpoint of nnU-Net: it lacks {', '.join(missing)}. {remedy or _remedy(file)}")
    return cast(dict[str, Any], checkpoint)


def read_saved(
    file: str | os.PathLike[str],
    device: torch.device | str,
    *,
    weights_only: bool = False,
    remedy: str | None = None,
) -> Any:
    """Read what PyTorch has saved, such as a checkpoint of which parts were left out; see :func:`read_checkpoint`.

    Raises:
        UserError: for a file that is not there or not whole.
    """
    weights_only = weights_only and hasattr(torch.serialization, "safe_globals")
    try:
        with _numpy_scalars_allowed() if weights_only else contextlib.nullcontext():
            return torch.load(file, map_location=device, weights_only=weights_only)
    except (torch.cuda.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:
        # What a damaged file makes the unpickler raise can be anything.
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        if "Unsupported" in str(error):
            reason = "it holds Python objects other than weights and numbers, which could run code"
        raise UserError(f"{file} cannot be read as a checkpoint ({reason}). {remedy or _remedy(file)}") from error


@contextlib.contextmanager
def as_file(checkpoint: dict[str, Any] | str) -> Iterator[str]:
    """A file with a checkpoint, in this block: nnUNetTrainer.load_checkpoint of 2.8.1 fails on dictionaries."""
    if not isinstance(checkpoint, dict):
        yield os.fspath(checkpoint)
        return
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "checkpoint.pth")
        torch.save(checkpoint, file)
        yield file


def read_training_state(
    file: str, device: torch.device, settings: MethodSettings, students: Students
) -> dict[str, Any]:
    """Read what a checkpoint holds under :data:`STATE_KEY`.

    Raises:
        UserError: for a file that is no whole checkpoint, and for a checkpoint of another kind of trainer, of other
            settings or of another network.
    """
    checkpoint = read_checkpoint(file, device)
    if STATE_KEY not in checkpoint:
        raise UserError(
            f"{file} was written by {checkpoint['trainer_name']} and has no teacher to continue from. To start from "
            "its weights, pass it as -pretrained_weights to a new training."
        )
    state = training_state_of(checkpoint, file)
    settings.refuse_others(state["settings"], file, state["version"])
    _refuse_other_networks(checkpoint, file, students)
    return state


def training_state_of(
    checkpoint: dict[str, Any], file: str | os.PathLike[str], remedy: str | None = None
) -> dict[str, Any]:
    """What a checkpoint holds under :data:`STATE_KEY`, which another package might use too.

    Args:
        checkpoint: which has the key.
        file: it was read from.
        remedy: see :func:`read_checkpoint`.

    Raises:
        UserError: for what this package has not written.
    """
    state = checkpoint[STATE_KEY]
    missing = [key for key in _KEYS_OF_STATE if not isinstance(state, dict) or key not in state]
    if missing:
        raise UserError(
            f'{file} is no checkpoint of nnunetv2_dycon: its "{STATE_KEY}" lacks {", ".join(missing)}. '
            f"{remedy or _remedy(file)}"
        )
    return cast(dict[str, Any], state)


def _refuse_other_networks(checkpoint: dict[str, Any], file: str, students: Students) -> None:
    first, *_ = students
    state, network = checkpoint[STATE_KEY], first.network
    pairs: list[tuple[dict[str, Tensor], nn.Module]] = [
        (checkpoint["network_weights"], network),
        (state["student"], network),
        (state["auxiliary"], students.auxiliary),
        (state["teacher"], students.average),
    ]
    for there, module in pairs:
        here = module.state_dict()
        for name in sorted({*there, *here}):
            shapes = [tuple(weights[name].shape) if name in weights else None for weights in (there, here)]
            if shapes[0] != shapes[1]:
                described = ["missing" if shape is None else f"of shape {shape}" for shape in shapes]
                raise UserError(
                    f"{file} is of another network: {name} is {described[0]} there and {described[1]} in the network "
                    "of the present plans. Go on with the plans that it was trained with, or train the present ones "
                    "into another folder, with plans of another name (-p)."
                )


def restore_training_state(state: dict[str, Any], students: Students, class_locations: ClassLocations) -> None:
    """Give back what :func:`read_training_state` read."""
    first, *_ = students
    first.network.load_state_dict(state["student"])
    students.auxiliary.load_state_dict(state["auxiliary"])
    students.average.load_state_dict(state["teacher"])
    # 0.1.0 had none.
    class_locations.load_state_dict(state.get("class_locations", {}))


def write_checkpoint(checkpoint: dict[str, Any], file: str | os.PathLike[str]) -> None:
    """Write a checkpoint so that a kill leaves the older one or the new one, and no broken file."""
    with written_aside(Path(file)) as partial:
        torch.save(checkpoint, partial)


def checkpoints_in(folder: Path) -> list[Path]:
    """nnU-Net's checkpoints that are in the folder of a fold, that which ``--c`` takes first."""
    return [folder / name for name in IN_ORDER_OF_NNUNET if (folder / name).is_file()]


def _remedy(path: str | os.PathLike[str]) -> str:
    """What to do about a checkpoint that cannot be used, which depends on what else nnU-Net's --c would take."""
    file = Path(path)
    if file.name not in IN_ORDER_OF_NNUNET:
        return "Name another checkpoint."
    others = [other.name for other in checkpoints_in(file.parent) if other.name != file.name]
    if not others:
        return "Remove it and start the training again: there is no other one in its folder."
    return f"Remove it, and --c goes on from {others[0]}, which is beside it."


def _numpy_scalars_allowed() -> contextlib.AbstractContextManager[Any]:
    """nnU-Net's checkpoints log NumPy's numbers, which are as harmless as Python's."""
    scalar = np.float32(0).__reduce__()[0]
    kinds = [type(np.dtype(kind)) for kind in (np.float16, np.float32, np.float64, np.int64, np.bool_)]
    return torch.serialization.safe_globals([scalar, np.dtype, *kinds])


def without_training_state(checkpoint: dict[str, Any], trainer_name: str) -> dict[str, Any]:
    """What a stock nnU-Net needs to predict or to start from: no student, teacher or optimizer state.

    Args:
        checkpoint: of a semi-supervised trainer; it is not changed.
        trainer_name: the trainer that nnU-Net is to look up.
    """
    kept = {key: value for key, value in checkpoint.items() if key != STATE_KEY}
    return {**kept, "trainer_name": trainer_name, "optimizer_state": None, "grad_scaler_state": None}
