"""What nnU-Net's postprocessing, decided by the labels, changes on test cases."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from benchmarks.common.report import markdown_table
from benchmarks.results.heart import DATASET, LABELED_CASES
from benchmarks.results.records import read_table
from benchmarks.results.titles import title

NAMES = {
    **{dataset: f"heart, labels of cases {cases}" for dataset, cases in LABELED_CASES.items()},
    DATASET: "heart",
    "hippocampus": "hippocampus",
    "lung_nodules": "lung nodules",
}


def means() -> list[tuple[list[str], float, float]]:
    """What a mean is of, and the mean Dice as predicted and postprocessed, where trainings were scored both ways."""
    dice: dict[tuple[str, int, int, str, str], list[tuple[float, float]]] = defaultdict(list)
    for row in read_table("runs.csv"):
        if row["dice_postprocessed"]:
            steps = int(row["epochs"]) * int(row["steps"])
            key = row["dataset"], steps, int(row["labels"]), row["arm"], row["series"]
            dice[key].append((float(row["dice"]), float(row["dice_postprocessed"])))
    rows = []
    for (dataset, steps, labels, arm, _), values in sorted(dice.items()):
        predicted, postprocessed = np.mean(values, axis=0)
        start = [NAMES.get(dataset, dataset), f"{steps:,}", str(labels), title(arm), str(len(values))]
        rows.append((start, float(predicted), float(postprocessed)))
    return rows


def describe_lower_means() -> str:
    """A sentence on the means that are lower when postprocessed."""
    rows = means()
    lower = [
        f"{method} on {data} ({labels} labels, {steps} steps) by {predicted - postprocessed:.4f}"
        for (data, steps, labels, method, _), predicted, postprocessed in rows
        if round(postprocessed, 4) < round(predicted, 4)
    ]
    verb, names = "is" if len(lower) < 2 else "are", f": {'; '.join(lower)}" if lower else ""
    return f"{len(lower) or 'None'} of {len(rows)} means {verb} lower{names}."


def table_of_postprocessing() -> str:
    """The means of :func:`means`, and their differences."""
    rows = [
        [*start, f"{predicted:.4f}", f"{postprocessed:.4f}", f"{postprocessed - predicted:+.4f}"]
        for start, predicted, postprocessed in means()
    ]
    header = ["data", "steps", "labels", "method", "trainings", "as predicted", "postprocessed", "difference"]
    return markdown_table(header, rows)
