"""Intervals of differences of means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Difference:
    """A difference of two means with its interval.

    Attributes:
        mean: the difference.
        low: lower end of the 95 % interval; None where one case alone leaves none.
        high: upper end, likewise.
    """

    mean: float
    low: float | None
    high: float | None

    def describe(self) -> str:
        """With signs and four digits, the interval in brackets."""
        brackets = "" if self.low is None or self.high is None else f" {in_brackets((self.low, self.high))}"
        return f"{self.mean:+.4f}{brackets}"


def difference_of_trainings(first: np.ndarray, second: np.ndarray) -> Difference | None:
    """How far the trainings of one method are above those of another one, on the same cases.

    Trainings are not paired, and trainings and cases are random: the variance of the difference is the sum of that
    between trainings of either method, by their number, and of that between cases of the difference of the methods'
    means, by theirs. The degrees of freedom are those of Welch and Satterthwaite for such a sum. The part of a training
    that differs from case to case is counted on both sides, so the interval is rather too wide. A method with a single
    training adds nothing to it: the interval then does not speak of other trainings of this method.

    Args:
        first: (trainings, cases), scores; NaN where a score is not defined.
        second: (trainings, cases) of the other method, the cases in the same order.

    Returns:
        The mean of the first method's trainings minus that of the second's, with its 95 % t interval, over the cases
        whose score is defined in every training; None where there is no such case.
    """
    defined = ~np.isnan(np.concatenate([first, second])).any(0)
    if not defined.any():
        return None
    first, second = first[:, defined], second[:, defined]
    means = [first.mean(1), second.mean(1)]
    of_cases = first.mean(0) - second.mean(0)
    mean = float(means[0].mean() - means[1].mean())
    samples = [values for values in (*means, of_cases) if len(values) > 1]
    if len(of_cases) < 2:
        return Difference(mean, None, None)
    low, high = _welch_interval(mean, samples)
    return Difference(mean, low, high)


def unpaired_interval(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the mean of the first minus that of the second, of at least two values each; Welch's."""
    return _welch_interval(float(np.mean(first) - np.mean(second)), [np.asarray(first), np.asarray(second)])


def _welch_interval(difference: float, samples: Sequence[np.ndarray]) -> tuple[float, float]:
    """The 95 % t interval of a difference whose variance is the sum of those of the means of samples."""
    squared_errors = [float(values.var(ddof=1)) / len(values) for values in samples]
    variance = sum(squared_errors)
    if variance == 0:
        return difference, difference
    degrees = variance**2 / sum(
        error**2 / (len(values) - 1) for error, values in zip(squared_errors, samples, strict=True)
    )
    half = float(stats.t.ppf(0.975, degrees)) * variance**0.5
    return difference - half, difference + half


def t_interval(differences: Sequence[float]) -> tuple[float, float]:
    """The 95 % t interval of the mean of at least two differences."""
    mean, error = np.mean(differences), np.std(differences, ddof=1) / np.sqrt(len(differences))
    half = stats.t.ppf(0.975, len(differences) - 1) * error
    return float(mean - half), float(mean + half)


def in_brackets(interval: tuple[float, float]) -> str:
    """An interval with signs and four digits."""
    return f"[{interval[0]:+.4f}, {interval[1]:+.4f}]"


def mean_where_defined(scores: np.ndarray, axis: int) -> np.ndarray:
    """The mean along an axis of the scores that are not NaN; NaN where there is none."""
    defined = ~np.isnan(scores)
    counts = defined.sum(axis)
    sums = np.where(defined, scores, 0.0).sum(axis)
    return np.divide(sums, counts, out=np.full(counts.shape, np.nan), where=counts > 0)
