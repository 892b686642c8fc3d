"""Trainings whose losses or weights are no longer finite: they are stopped, and keep their last good checkpoint."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.training.checkpoints import FINAL_CHECKPOINT, checkpoints_in
from nnunetv2_dycon.training.students import Students

# A scaler of gradients skips a few steps at the start, and one from time to time; their losses are finite.
MAX_STEPS = 20


class Divergence:
    """Counts steps in a row with a loss that is not finite.

    Args:
        output_folder: where the checkpoints are.
        settings_section: of the method, in the plans.
    """

    def __init__(self, output_folder: str | os.PathLike[str], settings_section: str) -> None:
        self._folder = Path(output_folder)
        self._section = settings_section
        self._steps = 0
        self._last = ""

    def check_losses(self, losses: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> None:
        """Look at the losses of a step.

        Args:
            losses: ``supervised`` and the unsupervised terms, not weighted; scalars on the CPU.
            weights: of the unsupervised terms in this step.

        Raises:
            UserError: in the 20th step in a row whose losses are not all finite, with their values.
        """
        if all(np.isfinite(loss) for loss in losses.values()):
            self._steps = 0
            return
        self._steps += 1
        self._last = ", ".join(
            f"{name} {float(loss):.4g}" + (f" (weight {weights[name]:.4g})" if name in weights else "")
            for name, loss in losses.items()
        )
        if self._steps >= MAX_STEPS:
            raise UserError(f"The loss has not been finite for {MAX_STEPS} steps: {self._last}. {self._remedy()}")

    def check_weights(self, students: Students) -> None:
        """Look at all weights before they are saved.

        Raises:
            UserError: for weights that are not finite, with the losses of the last step that had such.
        """
        modules = (students.average, *students.modules)
        if not all(bool(torch.isfinite(weight).all()) for module in modules for weight in module.parameters()):
            losses = self._last or "all finite"
            raise UserError(
                f"The weights are no longer finite (losses: {losses}). No checkpoint is written. {self._remedy()}"
            )

    def _remedy(self) -> str:
        files = [file for file in checkpoints_in(self._folder) if file.name != FINAL_CHECKPOINT]
        kept = f"the last good checkpoint is {files[0]}" if files else "there is no checkpoint yet"
        return (
            f"The training is stopped; {kept}. If an unsupervised term is not finite, lower its "
            f'weight (section "{self._section}" of the plans, with "nnunetv2_dycon plan"); if only the supervised loss '
            "is not, lower the learning rate (initial_lr of the trainer) and look at the labeled scans' intensities."
        )
