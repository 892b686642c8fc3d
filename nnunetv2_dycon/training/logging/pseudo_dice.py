"""Pseudo-Dice over the validation patches of an epoch."""

from __future__ import annotations

import numpy as np


class PseudoDice:
    """Sums what nnUNetTrainer.validation_step returns and gives nnU-Net's pseudo-Dice of it."""

    def __init__(self) -> None:
        self._counts: np.ndarray | None = None

    def add(self, result: dict) -> None:
        """Add a validation step.

        Args:
            result: with ``tp_hard``, ``fp_hard`` and ``fn_hard``, each (classes or regions).
        """
        counts = np.stack([result["tp_hard"], result["fp_hard"], result["fn_hard"]])
        self._counts = counts if self._counts is None else self._counts + counts

    def pop_mean(self) -> float:
        """The mean over classes or regions, those without any voxel left out; starts again. In [0, 1] or NaN."""
        tp, fp, fn = self._counts
        self._counts = None
        size = 2 * tp + fp + fn
        present = size > 0
        return float(np.mean(2 * tp[present] / size[present])) if present.any() else float("nan")
