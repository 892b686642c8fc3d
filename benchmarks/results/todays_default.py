"""Trainings of today's default of DyCON on hippocampi and lung nodules, where other machines trained nnU-Net."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.common.intervals import in_brackets, unpaired_interval
from benchmarks.common.report import markdown_table
from benchmarks.label_efficiency.arms import FECL_ARM, METHOD_ARM, REFERENCE_ARM
from benchmarks.results.records import Run

# Labeled cases by data set.
TASKS = (("hippocampus", 4), ("hippocampus", 8), ("lung_nodules", 8))


def dice_of(runs: Sequence[Run], dataset: str, labels: int, arm: str) -> list[float]:
    """The Dice of every training of an arm on a task."""
    return [run.dice for run in runs if (run.dataset, run.labels, run.arm) == (dataset, labels, arm)]


def describe_mean(dice: Sequence[float] | np.ndarray) -> str:
    """The mean, and in brackets the number of trainings."""
    return f"{np.mean(dice):.4f} ({len(dice)})"


def describe_difference(dice: Sequence[float], reference: Sequence[float]) -> str:
    """The difference of the means, with its interval over trainings where both have two or more."""
    difference = f"{np.mean(dice) - np.mean(reference):+.4f}"
    if min(len(dice), len(reference)) < 2:
        return difference
    return f"{difference} {in_brackets(unpaired_interval(dice, reference))}"


def table_of_todays_default(runs: Sequence[Run], names: dict[str, str]) -> str:
    """Today's DyCON beside nnU-Net and beside the earlier default.

    Args:
        runs: of the main series.
        names: of the data sets, for the reader.
    """
    rows = []
    for dataset, labels in TASKS:
        today, nnunet, earlier = (dice_of(runs, dataset, labels, arm) for arm in (METHOD_ARM, REFERENCE_ARM, FECL_ARM))
        means = [describe_mean(dice) for dice in (nnunet, earlier, today)]
        differences = [describe_difference(today, dice) for dice in (nnunet, earlier)]
        rows.append([names[dataset], str(labels), *means, *differences])
    header = ["data", "labels", "nnU-Net", "DyCON with FeCL", "DyCON", "DyCON − nnU-Net", "DyCON − DyCON with FeCL"]
    return markdown_table(header, rows)
