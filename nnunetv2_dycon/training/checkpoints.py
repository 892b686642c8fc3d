"""Checkpoints that nnU-Net can read, with the training state of student and teacher beside."""

from __future__ import annotations

import os
from pathlib import Path

import torch

STATE_KEY = "semi_supervised"


def write_checkpoint(checkpoint: dict, file: str | os.PathLike) -> None:
    """Write a checkpoint to a temporary file in the same folder and rename it, so that a kill leaves no broken file.

    Args:
        checkpoint: what ``torch.save`` takes.
        file: the final name.
    """
    file = Path(file)
    temporary = file.with_name(f".{file.name}.partial")
    torch.save(checkpoint, temporary)
    os.replace(temporary, file)


def without_training_state(checkpoint: dict, trainer_name: str) -> dict:
    """What a stock nnU-Net needs to predict or to start from: no student, teacher or optimizer state.

    Args:
        checkpoint: of a semi-supervised trainer.
        trainer_name: the trainer that nnU-Net is to look up.

    Returns:
        A new dictionary; the tensors are shared.
    """
    kept = {key: value for key, value in checkpoint.items() if key != STATE_KEY}
    return {**kept, "trainer_name": trainer_name, "optimizer_state": None, "grad_scaler_state": None}
