"""Trainers that do steps on the same batches again and again, so that no loading is timed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from benchmarks.common.configuration import Configuration
from benchmarks.common.workspace import make_trainer, write_workspace
from benchmarks.training_step.cases import SETTINGS, scan_shape
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON

TRAINERS: dict[str, type[nnUNetTrainer]] = {
    trainer.__name__: trainer for trainer in (nnUNetTrainer, nnUNetTrainerDyCON)
}
_BATCHES_FILE = "batches.pt"
_SCANS = 2


def prepare(folder: Path, configuration: Configuration) -> None:
    """Make a workspace, and draw a labeled and an unlabeled batch from the loaders of a training on it.

    Args:
        folder: an empty folder.
        configuration: of the trainers.
    """
    write_workspace(folder, configuration, scan_shape(configuration), _SCANS, SETTINGS)
    trainer = make_trainer(nnUNetTrainerDyCON, folder, torch.device("cpu"))
    trainer.on_train_start()
    batches = {"labeled": next(trainer.dataloader_train), "unlabeled": next(trainer.unlabeled_stream)}
    torch.save({name: _without_case_names(batch) for name, batch in batches.items()}, folder / _BATCHES_FILE)


def make_step(name: str, folder: Path, device: torch.device) -> tuple[nnUNetTrainer, Callable[[], None]]:
    """Build a trainer as nnU-Net does, ready for its first step.

    Args:
        name: a key of TRAINERS.
        folder: where :func:`prepare` has been.
        device: where it trains.

    Returns:
        The trainer, and a function that does one step.
    """
    trainer = make_trainer(TRAINERS[name], folder, device)
    trainer.initialize()
    trainer.on_train_epoch_start()
    batches = torch.load(folder / _BATCHES_FILE)
    if device.type == "cuda":
        batches = _pin(batches)
    if isinstance(trainer, nnUNetTrainerDyCON):
        trainer.unlabeled_stream = itertools.repeat(batches["unlabeled"])

    def step() -> None:
        trainer.train_step(batches["labeled"])
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return trainer, step


def _without_case_names(batch: dict) -> dict:
    return {key: value for key, value in batch.items() if key != "keys"}


def _pin(item: dict | list | torch.Tensor) -> dict | list | torch.Tensor:
    """As nnU-Net's loaders do for a GPU."""
    if isinstance(item, dict):
        return {key: _pin(value) for key, value in item.items()}
    return [_pin(value) for value in item] if isinstance(item, list) else item.pin_memory()
