"""The paired bootstrap over test cases and seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
_SEED = 2504


@dataclass(frozen=True)
class Difference:
    """A mean difference with its interval.

    Attributes:
        mean: over seeds and cases.
        low: lower end of the 95 % interval.
        high: upper end.
    """

    mean: float
    low: float
    high: float


def paired_bootstrap(differences: np.ndarray, *, resamples: int = RESAMPLES, seed: int = _SEED) -> Difference:
    """The 95 % percentile interval of a mean difference, resampling seeds and cases, each with replacement.

    Both are resampled, so that the interval speaks of other trainings and other cases. With one seed it is of the
    cases alone; with few seeds it is somewhat narrow, as bootstrap intervals of few values are.

    Args:
        differences: (seeds, cases), of an arm to the reference arm with the same seed on the same case; NaN where one
            of the two is not defined.
        resamples: how often to draw.
        seed: of the draws, so that a report can be repeated.

    Returns:
        The mean and its interval.

    Raises:
        ValueError: if there is nothing to resample.
    """
    defined = ~np.isnan(differences)
    if not defined.any():
        raise ValueError("there is no difference that is defined")
    values = np.where(defined, differences, 0.0)
    generator = np.random.default_rng(seed)
    runs, cases = differences.shape
    # How often each seed and each case is drawn, instead of the draws themselves.
    of_runs = generator.multinomial(runs, np.full(runs, 1 / runs), size=resamples)
    of_cases = generator.multinomial(cases, np.full(cases, 1 / cases), size=resamples)
    sums = ((of_runs @ values) * of_cases).sum(1)
    counts = ((of_runs @ defined.astype(int)) * of_cases).sum(1)
    means = sums[counts > 0] / counts[counts > 0]
    low, high = np.percentile(means, [2.5, 97.5])
    return Difference(float(values.sum() / defined.sum()), float(low), float(high))
