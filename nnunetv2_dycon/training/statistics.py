"""What is summed over an epoch: scalars of the steps, and pseudo-Dice of the validation patches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nnunetv2_dycon.training.distributed import gathered
from nnunetv2_dycon.training.step import StepResult


class EpochStatistics:
    """Sums scalars on their device and reads them once an epoch.

    Args:
        names: the values that may be added; each gets a mean at the end of the epoch.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(names)
        self._reset()

    def _reset(self) -> None:
        self._sums: dict[str, Tensor | float | None] = dict.fromkeys(self._names)
        self._counts: dict[str, int] = dict.fromkeys(self._names, 0)

    def add(self, name: str, value: Tensor | float) -> None:
        """Add the value of a step, a scalar that is detached.

        Raises:
            KeyError: for a name that was not declared.
        """
        number = value.detach().float() if isinstance(value, Tensor) else value
        total = self._sums[name]
        self._sums[name] = number if total is None else total + number
        self._counts[name] += 1

    def add_step(self, step: StepResult, weights: Mapping[str, float], least_supervised_loss: float) -> None:
        """Add what a step with these weights yields; shares of the loss are of what is above its least value."""
        weighted = {term: weights[term] * value for term, value in step.terms.items()}
        total = sum(weighted.values(), start=step.supervised_loss - least_supervised_loss)
        for term, value in step.terms.items():
            self.add(f"{term}_loss", value)
            self.add(f"{term}_share", weighted[term] / total)
        for name, statistic in step.statistics.items():
            self.add(name, statistic)
        self.add("patches_with_foreground", (step.foreground > 0).flatten(1).any(1).float().mean())

    def state_dict(self) -> dict[str, Any]:
        """What was added since the start of the epoch, for :meth:`load_state_dict`."""
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what was added elsewhere; names that are not declared here are left out."""
        self._sums |= {name: total for name, total in state["sums"].items() if name in self._names}
        self._counts |= {name: count for name, count in state["counts"].items() if name in self._names}

    def pop_means(self) -> dict[str, float]:
        """Read all means and start again. The mean of nothing is NaN, e.g. in an epoch of supervised warm-up."""
        sums = {name: math.nan if total is None else total for name, total in self._sums.items()}
        tensors = {name: total for name, total in sums.items() if isinstance(total, Tensor)}
        if tensors:
            # Stacked, so that the GPU is waited for once.
            sums |= zip(tensors, torch.stack(list(tensors.values())).tolist(), strict=True)
        means = {name: float(total) / max(self._counts[name], 1) for name, total in sums.items()}
        self._reset()
        return means


class PseudoDice:
    """Sums what nnUNetTrainer.validation_step returns and gives nnU-Net's pseudo-Dice of it."""

    def __init__(self) -> None:
        self._counts: np.ndarray | None = None

    def add(self, result: dict) -> None:
        """Add the result of a validation step: ``tp_hard``, ``fp_hard`` and ``fn_hard``, each (classes or regions)."""
        counts = np.stack([result["tp_hard"], result["fp_hard"], result["fn_hard"]])
        self._counts = counts if self._counts is None else self._counts + counts

    def pop_mean(self) -> float:
        """The mean over classes or regions of all processes' patches, starting again; in [0, 1] or NaN.

        Classes and regions without any voxel are left out.
        """
        if self._counts is None:
            return math.nan
        tp, fp, fn = np.sum(gathered(self._counts), axis=0)
        self._counts = None
        size = 2 * tp + fp + fn
        present = size > 0
        return float(np.mean(2 * tp[present] / size[present])) if present.any() else float("nan")
