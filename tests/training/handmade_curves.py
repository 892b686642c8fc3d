"""Curves of a training, made by hand, and what the rules say of them."""

from __future__ import annotations

import math

import numpy as np

from nnunetv2_dycon.methods.schedules import gaussian_rampup
from nnunetv2_dycon.training.curves import Curves
from nnunetv2_dycon.training.verdicts import first_verdicts, verdicts_of

NUM_EPOCHS = 100  # so the rules look at 5 epochs in a row; weights are full from epoch 40 on
EPOCHS = np.arange(NUM_EPOCHS)
PROGRESS = EPOCHS / NUM_EPOCHS
RAMP = np.array([gaussian_rampup(progress - 0.1, 0.3) if progress > 0.1 else 0.0 for progress in PROGRESS])
IN_FORCE = RAMP > 0


def noise(size: float) -> np.ndarray:
    return size * np.random.default_rng(0).standard_normal(NUM_EPOCHS)


def unsupervised(values: np.ndarray | float) -> np.ndarray:
    """NaN in the warm-up, in which no teacher is asked."""
    return np.where(IN_FORCE, values, math.nan)


def healthy(**changes: np.ndarray | float) -> Curves:
    """Curves like those of a training that works, with some replaced."""
    dice = 0.85 * (1 - np.exp(-8 * PROGRESS))
    values: dict[str, np.ndarray] = {
        "train_losses": 0.2 - 1.0 * (1 - np.exp(-8 * PROGRESS)),
        "ramp": RAMP,
        "student_pseudo_dice": dice + noise(0.03) + np.where(PROGRESS < 0.2, 0.1, 0),
        "teacher_pseudo_dice": dice - noise(0.02),
        "uncl_share": unsupervised(0.55 * RAMP),
        "uncl_weight": RAMP,
        "fecl_share": unsupervised(0.02 * RAMP),
        "fecl_weight": 0.1 * RAMP,
        # Falls by a factor of a hundred, as it may where the structures are small.
        "weak_view_entropy": unsupervised(0.05 * np.exp(-4.6 * PROGRESS)),
        "weak_view_foreground_fraction": unsupervised(0.02 * (2 - PROGRESS) + noise(0.004)),
        "labeled_foreground_fraction": unsupervised(0.025 + noise(0.002)),
        "waiting_fraction": np.full(NUM_EPOCHS, 0.02),
    }
    values |= {name: np.broadcast_to(np.asarray(value, float), NUM_EPOCHS) for name, value in changes.items()}
    return Curves(
        {name: [float(value) for value in curve] for name, curve in values.items()},
        NUM_EPOCHS,
        term_weights={"uncl": 1.0, "fecl": 0.1},
    )


def from_epoch(epoch: int, value: float, before: np.ndarray | float) -> np.ndarray:
    return np.where(epoch <= EPOCHS, value, before)


def names(curves: Curves) -> list[str]:
    return [verdict.name for verdict in verdicts_of(curves)]


def history(curves: Curves) -> list[tuple[int, str]]:
    return [(epoch, verdict.name) for epoch, verdict in first_verdicts(curves)]


def curve(name: str) -> np.ndarray:
    return np.array(healthy().values[name])
