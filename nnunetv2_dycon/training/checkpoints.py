"""Checkpoints that nnU-Net can read, with the training state of students and moving average beside."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon import __version__
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.files import written_aside
from nnunetv2_dycon.methods.settings import MethodSettings
from nnunetv2_dycon.training.class_locations import ClassLocations
from nnunetv2_dycon.training.students import Students

STATE_KEY = "semi_supervised"
_DEPLOYED_PREFIX = "module.network."


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
            "student": student,
            "auxiliary": students.auxiliary.state_dict(),
            "teacher": average,
            "class_locations": class_locations.state_dict(),
        },
    }


def read_training_state(file: str | os.PathLike[str], device: torch.device, settings: MethodSettings) -> dict[str, Any]:
    """Read what a checkpoint holds under :data:`STATE_KEY`.

    Raises:
        UserError: for a checkpoint of another kind of trainer or of other settings.
    """
    checkpoint = torch.load(file, map_location=device, weights_only=False)
    if STATE_KEY not in checkpoint:
        raise UserError(
            f"{file} was written by {checkpoint['trainer_name']} and has no teacher to continue from. To start from "
            "its weights, pass it as -pretrained_weights to a new training."
        )
    state: dict[str, Any] = checkpoint[STATE_KEY]
    settings.refuse_others(state["settings"], str(file), state["version"])
    return state


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


def without_training_state(checkpoint: dict[str, Any], trainer_name: str) -> dict[str, Any]:
    """What a stock nnU-Net needs to predict or to start from: no student, teacher or optimizer state.

    Args:
        checkpoint: of a semi-supervised trainer; it is not changed.
        trainer_name: the trainer that nnU-Net is to look up.
    """
    kept = {key: value for key, value in checkpoint.items() if key != STATE_KEY}
    return {**kept, "trainer_name": trainer_name, "optimizer_state": None, "grad_scaler_state": None}
