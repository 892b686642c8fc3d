"""What a training has logged, epoch by epoch, as the rules of :mod:`nnunetv2_dycon.training.verdicts` read it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from nnunetv2_dycon.methods.schedules import gaussian_rampup


@dataclass(frozen=True)
class Curves:
    """What a training has logged, and what it was to do.

    Attributes:
        values: for each name one value per epoch, as in the logger and in checkpoints; NaN where there was none.
        num_epochs: of the whole training.
        warmup_fraction: the setting.
        rampup_fraction: the setting.
        term_weights: of the unsupervised terms after the ramp-up; empty if they are not known.
        least_supervised_loss: see Method.
    """

    values: Mapping[str, Sequence[float] | np.ndarray]
    num_epochs: int
    warmup_fraction: float = 0.1
    rampup_fraction: float = 0.3
    term_weights: Mapping[str, float] = field(default_factory=dict)
    least_supervised_loss: float = -1.0

    @property
    def epochs(self) -> int:
        """How many epochs are done."""
        return len(self.values["ramp"])

    @property
    def window(self) -> int:
        """How many epochs in a row a rule looks at."""
        return min(max(round(self.num_epochs / 20), 3), 20)

    @property
    def is_long_enough(self) -> bool:
        """Whether the training has as many epochs as the rules look at; a shorter one is a trial."""
        return self.num_epochs >= self.window

    @property
    def has_terms(self) -> bool:
        """Whether any unsupervised term is to count; False also where their weights are not known."""
        return any(weight > 0 for weight in self.term_weights.values())

    @property
    def is_settled(self) -> bool:
        """Whether all epochs that a rule looks at come after the ramp-up, or in the second half of the training."""
        start = min(self.warmup_fraction + self.rampup_fraction, 0.5) * self.num_epochs
        return self.epochs - self.window >= start - 1e-6

    def until(self, epochs: int) -> Curves:
        """The curves after the first epochs alone."""
        return replace(self, values={name: values[:epochs] for name, values in self.values.items()})

    def of(self, name: str) -> np.ndarray:
        """(epochs,) all values of a name; NaN if it was not logged."""
        values = np.asarray(self.values.get(name, ()), float)
        missing = self.epochs - len(values)
        return np.concatenate([np.full(missing, math.nan), values]) if missing else values

    def last(self, name: str) -> np.ndarray:
        """(window,) the values that a rule looks at; all NaN where there are fewer epochs or one is NaN."""
        values = self.of(name)[-self.window :]
        if len(values) < self.window or np.isnan(values).any():
            return np.full(self.window, math.nan)
        return values

    def planned_ramp(self, progress: float) -> float:
        """The ramp without any waiting for the labels, in [0, 1], after a share of the training."""
        since_warmup = progress - self.warmup_fraction
        return gaussian_rampup(since_warmup, self.rampup_fraction) if since_warmup > 0 else 0.0
