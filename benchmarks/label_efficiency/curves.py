"""What nnU-Net logged of a training."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

_TIMES = ("epoch_start_timestamps", "epoch_end_timestamps")


def read_curves(checkpoint_file: Path) -> dict[str, list[Any]]:
    """Read the log of a training from a checkpoint.

    Args:
        checkpoint_file: of nnU-Net.

    Returns:
        One value an epoch of everything that was logged, such as ``mean_fg_dice`` (the pseudo-Dice), ``train_losses``,
        ``dice_per_class_or_region`` and what a method adds, with None for NaN; and ``epoch_seconds``.
    """
    logged = torch.load(checkpoint_file, map_location="cpu", weights_only=False)["logging"]
    seconds = [float(end - start) for start, end in zip(*(logged[name] for name in _TIMES), strict=True)]
    curves = {name: [_plain(value) for value in values] for name, values in logged.items() if name not in _TIMES}
    return curves | {"epoch_seconds": seconds}


def pseudo_dice_gained_at_the_end(pseudo_dice: list[float | None]) -> float | None:
    """How much the pseudo-Dice rose over the last quarter of a training.

    Pseudo-Dice of an epoch comes from few random patches, so means are compared: that of the last eighth of the epochs
    with that of the eighth before the last quarter. Both lie a quarter of the training apart.

    Args:
        pseudo_dice: one value an epoch; None where no patch had foreground.

    Returns:
        The difference of the two means, negative where it fell; None for fewer than 8 epochs and where there is
        nothing to average.
    """
    epochs = len(pseudo_dice)
    eighth = epochs // 8
    if eighth == 0:
        return None
    quarter = round(epochs / 4)
    late = [value for value in pseudo_dice[epochs - eighth :] if value is not None]
    early = [value for value in pseudo_dice[epochs - quarter - eighth : epochs - quarter] if value is not None]
    if not late or not early:
        return None
    return sum(late) / len(late) - sum(early) / len(early)


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    number = float(value)
    return number if math.isfinite(number) else None
