"""What the records say of each arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.common.intervals import Difference, difference_of_trainings, mean_where_defined
from benchmarks.label_efficiency.arms import METHOD_ARM, REFERENCE_ARM
from benchmarks.label_efficiency.datasets import ALL
from benchmarks.label_efficiency.runs import Record
from benchmarks.label_efficiency.scores import (
    METRICS,
    LabelSavings,
    case_scores,
    count_undefined,
    dice_gained_in_last_quarter,
    gap_closed,
    label_savings,
    pseudo_dice_gained_in_last_quarter,
)

MAIN_METRIC = "dice"


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over seeds.

    Attributes:
        mean: None where no run has a value.
        deviation: with one degree of freedom less; None for fewer than two runs.
    """

    mean: float | None
    deviation: float | None


@dataclass(frozen=True)
class ArmSummary:
    """An arm at a budget of a dataset.

    Attributes:
        dataset: name of the source dataset.
        budget: number of labels, or ``all``.
        labels: number of labels.
        arm: name of the arm.
        description: of the arm.
        seeds: of the runs that are done.
        metrics: each metric over the seeds, averaged over cases and classes.
        metrics_of_classes: the same for each class.
        dice_postprocessed: Dice where predictions keep the largest components of structures of one in the labels.
        undefined: how often each metric is not defined, over all runs, cases and classes.
        values: how many cases and classes there are over all runs.
        scores: mean Dice of each seed.
        difference: to the reference arm at the same budget; None for itself and where it is absent.
        lead_of_method: difference of the method's arm to this one in the same way; None for itself and where it is
            absent.
        gap_closed: share of the gap between the reference with as many and with all labels; None where it is absent.
        savings: labels that the reference needs for the same Dice; None where it is absent.
        pseudo_dice_gained: in the last quarter of the training, mean over seeds.
        dice_gained: of the test cases, in the last quarter of the training, mean over seeds.
        training_seconds: mean over seeds.
    """

    dataset: str
    budget: str
    labels: int
    arm: str
    description: str
    seeds: tuple[int, ...]
    metrics: dict[str, Spread]
    metrics_of_classes: dict[str, dict[str, Spread]]
    dice_postprocessed: Spread
    undefined: dict[str, int]
    values: int
    scores: tuple[float, ...]
    difference: Difference | None
    lead_of_method: Difference | None
    gap_closed: float | None
    savings: LabelSavings | None
    pseudo_dice_gained: float | None
    dice_gained: float | None
    training_seconds: float


def summarise(records: Sequence[Record]) -> list[ArmSummary]:
    """Summarise all runs that are done.

    Args:
        records: of a workspace, in any state.

    Returns:
        One summary for each dataset, budget and arm, in this order, the reference arm first.
    """
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        if record.is_done:
            groups.setdefault((record.run.dataset, record.run.budget, record.run.arm.name), []).append(record)
    curves: dict[str, dict[int, float]] = {}
    with_all: dict[str, float] = {}
    for (dataset, budget, arm), group in groups.items():
        if arm == REFERENCE_ARM:
            score = float(mean_where_defined(case_scores(group, MAIN_METRIC), axis=1).mean())
            curves.setdefault(dataset, {})[group[0].number_of_labels] = score
            if budget == ALL:
                with_all[dataset] = score
    summaries = [
        _summarise_arm(
            group,
            groups.get((dataset, budget, REFERENCE_ARM)),
            groups.get((dataset, budget, METHOD_ARM)),
            curves.get(dataset, {}),
            with_all.get(dataset),
        )
        for (dataset, budget, _), group in groups.items()
    ]
    return sorted(summaries, key=lambda each: (each.dataset, each.labels, each.arm != REFERENCE_ARM, each.arm))


def _summarise_arm(
    group: list[Record],
    reference: list[Record] | None,
    method: list[Record] | None,
    curve: Mapping[int, float],
    with_all: float | None,
) -> ArmSummary:
    first = group[0]
    score = _over_seeds(case_scores(group, MAIN_METRIC)).mean
    is_reference = first.run.arm.name == REFERENCE_ARM
    difference = None if is_reference else _difference(group, reference)
    is_method = first.run.arm.name == METHOD_ARM
    lead = None if is_method or method is None else _difference(method, group)
    savings, closed = None, None
    if not is_reference and score is not None:
        savings = label_savings(score, first.number_of_labels, curve)
        if first.number_of_labels in curve and with_all is not None:
            closed = gap_closed(score, curve[first.number_of_labels], with_all)
    classes = list(next(iter(first.metrics.values())))
    return ArmSummary(
        dataset=first.run.dataset,
        budget=first.run.budget,
        labels=first.number_of_labels,
        arm=first.run.arm.name,
        description=first.run.arm.description,
        seeds=tuple(record.run.seed for record in group),
        metrics={metric: _over_seeds(case_scores(group, metric)) for metric in METRICS},
        metrics_of_classes={
            name: {metric: _over_seeds(case_scores(group, metric, [name])) for metric in METRICS} for name in classes
        },
        dice_postprocessed=_over_seeds(case_scores(group, MAIN_METRIC, postprocessed=True)),
        undefined={metric: sum(count_undefined(record, metric) for record in group) for metric in METRICS},
        values=sum(len(by_class) for record in group for by_class in record.metrics.values()),
        scores=tuple(mean_where_defined(case_scores(group, MAIN_METRIC), axis=1).tolist()),
        difference=difference,
        lead_of_method=lead,
        gap_closed=closed,
        savings=savings,
        pseudo_dice_gained=_mean_of_known(
            [pseudo_dice_gained_in_last_quarter(record.content["curves"]["mean_fg_dice"]) for record in group]
        ),
        dice_gained=_mean_of_known([dice_gained_in_last_quarter(record) for record in group]),
        training_seconds=float(np.mean([record.content["training_seconds"] for record in group])),
    )


def _difference(group: list[Record], reference: list[Record] | None) -> Difference | None:
    if reference is None:
        return None
    return difference_of_trainings(case_scores(group, MAIN_METRIC), case_scores(reference, MAIN_METRIC))


def _mean_of_known(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _over_seeds(scores: np.ndarray) -> Spread:
    means = mean_where_defined(scores, axis=1)
    means = means[~np.isnan(means)]
    if len(means) == 0:
        return Spread(None, None)
    return Spread(float(means.mean()), float(means.std(ddof=1)) if len(means) > 1 else None)
