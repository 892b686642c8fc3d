"""How two models differ on the same cases."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import bootstrap

from nnunetv2_dycon.comparison.validation_results import ValidationResults

MEAN = "mean of classes"
# Below it, a bootstrap interval is markedly too narrow.
FEW_CASES = 10
_RESAMPLES = 9999
_SEED = 0


@dataclass(frozen=True)
class PairedDifference:
    """Dice of two models on the cases that both have, for one class.

    Attributes:
        name: of the class or region, or :data:`MEAN`.
        first: Dice by case of the first model, in [0, 1].
        second: the same of the second.
    """

    name: str
    first: Mapping[str, float]
    second: Mapping[str, float]

    @cached_property
    def differences(self) -> dict[str, float]:
        """Second minus first by case, the worst case for the second first."""
        unsorted = {case: self.second[case] - self.first[case] for case in self.first}
        return dict(sorted(unsorted.items(), key=lambda item: item[1]))

    @property
    def means(self) -> tuple[float, float]:
        """Mean Dice of both; NaN without cases."""
        return _mean(self.first), _mean(self.second)

    @property
    def difference(self) -> float:
        """Mean difference, second minus first; NaN without cases."""
        return _mean(self.differences)

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """95 % percentile bootstrap interval of the mean difference over cases; None for fewer than two cases.

        It speaks of other cases, not of another training of either model.
        """
        values = np.array(list(self.differences.values()))
        if len(values) < 2:
            return None
        sample = bootstrap((values,), np.mean, method="percentile", n_resamples=_RESAMPLES, random_state=_SEED)
        return float(sample.confidence_interval.low), float(sample.confidence_interval.high)

    @property
    def won(self) -> int:
        """Cases in which the second is better."""
        return sum(difference > 0 for difference in self.differences.values())

    @property
    def lost(self) -> int:
        """Cases in which the second is worse."""
        return sum(difference < 0 for difference in self.differences.values())

    @property
    def verdict(self) -> str:
        """What the interval says of the second model, in two or three words."""
        interval = self.interval
        if interval is None or len(self.first) < FEW_CASES:
            return "too few cases"
        if interval[0] > 0:
            return "better"
        return "worse" if interval[1] < 0 else "cannot tell"


def paired_differences(first: ValidationResults, second: ValidationResults) -> list[PairedDifference]:
    """Compare two models class by class, then by the mean of the classes, on the cases that both have.

    A case counts for a class where both have a Dice, and for the mean by the classes for which it counts.
    """
    cases = [case for case in first.dice if case in second.dice]
    classes = list(dict.fromkeys(name for case in cases for name in first.dice[case]))
    results = []
    for name in classes:
        pairs = {case: (first.dice[case].get(name, math.nan), second.dice[case].get(name, math.nan)) for case in cases}
        defined = {case: pair for case, pair in pairs.items() if not any(map(math.isnan, pair))}
        results.append(PairedDifference(name, *_unzip(defined)))
    means = {}
    for case in cases:
        pairs = {each.name: (each.first[case], each.second[case]) for each in results if case in each.first}
        if pairs:
            means[case] = tuple(float(np.mean(values)) for values in zip(*pairs.values(), strict=True))
    return [*results, PairedDifference(MEAN, *_unzip(means))]


def _unzip(pairs: Mapping[str, tuple[float, ...]]) -> tuple[dict[str, float], dict[str, float]]:
    return {case: pair[0] for case, pair in pairs.items()}, {case: pair[1] for case, pair in pairs.items()}


def _mean(values: Mapping[str, float]) -> float:
    return float(np.mean(list(values.values()))) if values else math.nan
