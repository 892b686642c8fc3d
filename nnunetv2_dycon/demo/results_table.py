"""The demo's table of results."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TrainerResult:
    """What became of one trainer.

    Attributes:
        title: name to show.
        predictions: folder of the predicted test cases, with the ``summary.json`` of nnUNetv2_evaluate_folder.
        training_seconds: wall time of its training.
    """

    title: str
    predictions: Path
    training_seconds: float


def write_results_table(results: Sequence[TrainerResult], labels: Mapping[str, int], folder: Path) -> str:
    """Write ``results.md`` and ``results.csv`` with the mean test Dice of each label.

    Args:
        results: one a trainer.
        labels: name to value of the labels to show, without the background.
        folder: folder to write into.

    Returns:
        The table in Markdown.
    """
    header = ["trainer", *(f"Dice {name}" for name in labels), "Dice mean", "training (s)"]
    rows = []
    for result in results:
        summary = json.loads((result.predictions / "summary.json").read_text(encoding="utf-8"))
        dice = [summary["mean"][str(value)]["Dice"] for value in labels.values()]
        dice.append(summary["foreground_mean"]["Dice"])
        rows.append([result.title, *(f"{value:.3f}" for value in dice), f"{result.training_seconds:.0f}"])
    with (folder / "results.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    (folder / "results.md").write_text(table + "\n", encoding="utf-8")
    return table
