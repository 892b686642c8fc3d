"""The report as CSV files: one line a run, and one line a run, case and class."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.label_efficiency.curves import pseudo_dice_gained_at_the_end
from benchmarks.label_efficiency.metrics import METRICS
from benchmarks.label_efficiency.records import Record
from benchmarks.label_efficiency.scores import (
    case_scores,
    count_undefined,
    dice_gained_in_last_quarter,
    mean_of_runs,
)

_RUN = ["dataset", "budget", "arm", "seed"]


def write_runs_csv(file: Path, records: Sequence[Record]) -> None:
    """Write one line for each run; the figures of those that are not done are empty.

    Args:
        file: the file to write.
        records: of all runs.
    """
    undefined = [f"{metric}_not_defined" for metric in METRICS]
    further = ["epochs", "steps", "dice_gained_in_last_quarter", "pseudo_dice_gained_in_last_quarter"]
    further += ["training_seconds", "prediction_seconds"]
    rows = (_run_row(record) for record in records)
    _write(file, [*_RUN, "state", "labels", *METRICS, *undefined, *further], rows)


def write_cases_csv(file: Path, records: Sequence[Record]) -> None:
    """Write one line for each run, test case and class; what is not defined is empty.

    Args:
        file: the file to write.
        records: of all runs.
    """
    rows = (
        [*_identity(record), case, name, *(values[metric] for metric in METRICS)]
        for record in records
        if record.is_done
        for case, by_class in record.metrics.items()
        for name, values in by_class.items()
    )
    _write(file, [*_RUN, "case", "class", *METRICS], rows)


def _run_row(record: Record) -> list[Any]:
    start = [*_identity(record), record.state]
    if not record.is_done:
        return start
    means = [float(mean_of_runs(case_scores([record], metric))[0]) for metric in METRICS]
    content = record.content
    return [
        *start,
        record.number_of_labels,
        *(None if np.isnan(mean) else mean for mean in means),
        *(count_undefined(record, metric) for metric in METRICS),
        content["preset"]["epochs"],
        content["preset"]["steps"],
        dice_gained_in_last_quarter(record),
        pseudo_dice_gained_at_the_end(content["curves"]["mean_fg_dice"]),
        content["training_seconds"],
        content["prediction_seconds"],
    ]


def _identity(record: Record) -> list[Any]:
    return [record.run.dataset, record.run.budget, record.run.arm.name, record.run.seed]


def _write(file: Path, header: list[str], rows: Iterable[list[Any]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened)
        writer.writerow(header)
        # Short rows are filled, so that every line has every column.
        writer.writerows(row + [None] * (len(header) - len(row)) for row in rows)
