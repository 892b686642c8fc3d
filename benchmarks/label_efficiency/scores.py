"""Metrics of the runs of an arm as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.label_efficiency.records import Record


def case_scores(records: Sequence[Record], metric: str, classes: Sequence[str] | None = None) -> np.ndarray:
    """A metric of each run and test case, averaged over the classes.

    Args:
        records: runs on the same test cases, done.
        metric: see METRICS.
        classes: which ones to average over; None for all.

    Returns:
        (runs, cases), the cases in alphabetical order. Classes where the metric is not defined are left out of a
        case's mean; NaN where no class is left.
    """
    cases = sorted(records[0].metrics)
    scores = np.empty((len(records), len(cases)))
    for row, record in enumerate(records):
        for column, case in enumerate(cases):
            scores[row, column] = _mean_of_classes(record.metrics[case], metric, classes)
    return scores


def dice_gained_in_last_quarter(record: Record) -> float | None:
    """Mean Dice of the test cases at the end of a training minus that after three quarters of it.

    Both without mirroring in prediction. It says whether a training was long enough; nothing is chosen by it.

    Args:
        record: a run that is done.

    Returns:
        The mean over the cases where both are defined; None where there is none.
    """
    early, late = (
        {
            case: _mean_of_classes(by_class, "dice")
            for case, by_class in record.metrics_without_mirroring(checkpoint).items()
        }
        for checkpoint in ("three_quarters", "final")
    )
    gains = np.array([[late[case] - early[case] for case in sorted(late)]])
    gained = float(mean_of_runs(gains)[0])
    return None if np.isnan(gained) else gained


def mean_of_runs(scores: np.ndarray) -> np.ndarray:
    """(runs, cases) -> (runs,): the mean over the cases where the score is defined; NaN where there is none."""
    defined = ~np.isnan(scores)
    counts = defined.sum(1)
    sums = np.where(defined, scores, 0.0).sum(1)
    return np.divide(sums, counts, out=np.full(len(scores), np.nan), where=counts > 0)


def _mean_of_classes(
    by_class: Mapping[str, Mapping[str, float | None]], metric: str, classes: Sequence[str] | None = None
) -> float:
    values = [by_class[name][metric] for name in (by_class if classes is None else classes)]
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else float("nan")


def count_undefined(record: Record, metric: str) -> int:
    """How often a metric of a run is not defined, over all cases and classes.

    Args:
        record: a run that is done.
        metric: see METRICS.
    """
    return sum(values[metric] is None for by_class in record.metrics.values() for values in by_class.values())
