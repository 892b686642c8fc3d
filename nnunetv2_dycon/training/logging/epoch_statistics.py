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
        present = [name for name, count in self._counts.items() if count > 0]
        values = torch.stack([torch.as_tensor(self._sums[name]) for name in present]).tolist() if present else []
        means = dict.fromkeys(self._sums, math.nan)
        means |= {name: value / self._counts[name] for name, value in zip(present, values, strict=True)}
        self.__init__(self._sums)
        return means
