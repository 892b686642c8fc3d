"""What the demo says in the end: a table of results, and how the trainers differ case by case."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from nnunetv2_dycon.comparison.paired_difference import MEAN, PairedDifference


@dataclass(frozen=True)
class TrainerResult:
    """What became of one trainer; its predictions lie beside the ``summary.json`` of nnUNetv2_evaluate_folder."""

    title: str
    predictions: Path
    training_seconds: float

    @cached_property
    def summary(self) -> dict[str, Any]:
        """nnU-Net's evaluation of the predictions."""
        return json.loads((self.predictions / "summary.json").read_text(encoding="utf-8"))

    @property
    def dice(self) -> dict[str, float]:
        """Dice by case, the mean of its labels."""
        found = {}
        for entry in self.summary["metric_per_case"]:
            values = [metrics["Dice"] for metrics in entry["metrics"].values()]
            found[Path(entry["prediction_file"]).name.removesuffix(".nii.gz")] = sum(values) / len(values)
        return found


@dataclass(frozen=True)
class ShownCase:
    """A case of the picture, and why it was chosen."""

    name: str
    reason: str


def compare(plain: TrainerResult, dycon: TrainerResult) -> PairedDifference:
    """How the Dice of the second trainer differs from that of the first on the same test scans."""
    return PairedDifference(MEAN, plain.dice, dycon.dice)


def describe(difference: PairedDifference, plain: str, dycon: str) -> str:
    """The difference in words, such as ``DyCON - nnU-Net: +0.051; DyCON is better in 14 of 16 test scans.``."""
    won = f"{difference.won} of {len(difference.differences)}"
    return f"{dycon} - {plain}: {difference.difference:+.3f}; {dycon} is better in {won} test scans."


def choose_cases(difference: PairedDifference) -> list[ShownCase]:
    """The test scan with the largest difference in favour of the second trainer, and the one with the median one."""
    ordered = list(difference.differences)
    largest, median = ordered[-1], ordered[(len(ordered) - 1) // 2]
    chosen = [ShownCase(largest, "largest difference"), ShownCase(median, "median difference")]
    return chosen if median != largest else chosen[:1]


def write_results_table(results: Sequence[TrainerResult], labels: Mapping[str, int], folder: Path) -> str:
    """Write ``results.md`` and ``results.csv``: the mean test Dice of each label, and of all where they are several.

    The labels, name to value, are those to show, without the background. Returns the table in Markdown.
    """
    several = len(labels) > 1
    header = ["trainer", *(f"Dice {name}" for name in labels), *(["Dice mean"] * several), "training (s)"]
    rows = []
    for result in results:
        means = [result.summary["mean"][str(value)] for value in labels.values()]
        dice = [mean["Dice"] for mean in (*means, *([result.summary["foreground_mean"]] * several))]
        rows.append([result.title, *(f"{value:.3f}" for value in dice), f"{result.training_seconds:.0f}"])
    with (folder / "results.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    (folder / "results.md").write_text(table + "\n", encoding="utf-8")
    return table
