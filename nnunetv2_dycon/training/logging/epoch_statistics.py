"""Means over the steps of an epoch, without waiting for the GPU in each step."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor


class EpochStatistics:
    """Sums scalars on their device and reads them once an epoch.

    Args:
        names: the values that may be added; each gets a mean at the end of the epoch.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._sums: dict[str, Tensor | float | None] = dict.fromkeys(names)
        self._counts: dict[str, int] = dict.fromkeys(self._sums, 0)

    def add(self, name: str, value: Tensor | float) -> None:
        """Add the value of a step.

        Args:
            name: one of the names.
            value: a scalar; tensors are detached.

        Raises:
            KeyError: for a name that was not declared.
        """
        value = value.detach().float() if isinstance(value, Tensor) else value
        total = self._sums[name]
        self._sums[name] = value if total is None else total + value
        self._counts[name] += 1

    def pop_means(self) -> dict[str, float]:
        """Read all means and start again. The mean of nothing is NaN, e.g. in an epoch of supervised warm-up."""
        sums = dict(self._sums)
        tensors = {name: total for name, total in sums.items() if isinstance(total, Tensor)}
        if tensors:
            # Stacked, so that the GPU is waited for once.
            sums |= zip(tensors, torch.stack(list(tensors.values())).tolist(), strict=True)
        means = {name: math.nan if total is None else total / self._counts[name] for name, total in sums.items()}
        self.__init__(sums)
        return means
