"""What the demo shows in the end: a table of results, and a picture of test scans, predictions and entropy."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch

# Distinguishable with every common colour vision deficiency.
LABEL_COLOURS = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7")
FONT_SIZE = 11


@dataclass(frozen=True)
class TrainerResult:
    """What became of one trainer; its predictions lie beside the ``summary.json`` of nnUNetv2_evaluate_folder."""

    title: str
    predictions: Path
    training_seconds: float

    @property
    def summary(self) -> dict[str, Any]:
        """nnU-Net's evaluation of the predictions."""
        return json.loads((self.predictions / "summary.json").read_text(encoding="utf-8"))

    def dice(self, case: str, labels: Mapping[str, int]) -> str:
        """Dice of each label of one case, as in ``Dice: organ 0.91, lesion 0.40``."""
        for entry in self.summary["metric_per_case"]:
            if Path(entry["prediction_file"]).name == f"{case}.nii.gz":
                dice = {name: entry["metrics"][str(value)]["Dice"] for name, value in labels.items()}
                return "Dice: " + ", ".join(f"{name} {value:.2f}" for name, value in dice.items())
        raise ValueError(f"{self.predictions / 'summary.json'} has no case {case}")


def write_results_table(results: Sequence[TrainerResult], labels: Mapping[str, int], folder: Path) -> str:
    """Write ``results.md`` and ``results.csv`` with the mean test Dice of each label.

    The labels, name to value, are those to show, without the background. Returns the table in Markdown.
    """
    header = ["trainer", *(f"Dice {name}" for name in labels), "Dice mean", "training (s)"]
    rows = []
    for result in results:
        means = [result.summary["mean"][str(value)] for value in labels.values()]
        dice = [mean["Dice"] for mean in (*means, result.summary["foreground_mean"])]
        rows.append([result.title, *(f"{value:.3f}" for value in dice), f"{result.training_seconds:.0f}"])
    with (folder / "results.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    (folder / "results.md").write_text(table + "\n", encoding="utf-8")
    return table


def draw_picture(
    file: Path,
    *,
    images: Path,
    ground_truth: Path,
    results: Sequence[TrainerResult],
    labels: Mapping[str, int],
    cases: Sequence[str],
) -> None:
    """Draw one row a case: scan, ground truth, each trainer's prediction and the last trainer's entropy.

    The slice shown is the one with the most voxels of the label of the highest value in the ground truth. The last
    trainer's predictions need ``CASE.npz`` (``--save_probabilities``); labels are as in :func:`write_results_table`.
    """
    columns = 3 + len(results)
    figure = Figure(figsize=(2.6 * columns + 0.9, 3.05 * len(cases) + 0.75), layout="constrained")
    axes = figure.subplots(len(cases), columns, squeeze=False)
    entropy_range = Normalize(0, np.log(len(labels) + 1))
    titles = ("Test scan", "Ground truth", *(result.title for result in results), f"Entropy of {results[-1].title}")
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=FONT_SIZE + 1)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for row, case in zip(axes, cases, strict=True):
        truth = _read(ground_truth / f"{case}.nii.gz")
        z = int(np.argmax((truth == max(labels.values())).sum((1, 2))))
        scan = _read(images / f"{case}_0000.nii.gz")[z]
        for axis in row[:-1]:
            axis.imshow(scan, cmap="gray", interpolation="nearest")
        row[0].set_xlabel(case, fontsize=FONT_SIZE - 1)
        row[1].imshow(_coloured(truth[z], labels), interpolation="nearest")
        for axis, result in zip(row[2:-1], results, strict=True):
            prediction = _read(result.predictions / f"{case}.nii.gz")[z]
            axis.imshow(_coloured(prediction, labels), interpolation="nearest")
            axis.set_xlabel(result.dice(case, labels), fontsize=FONT_SIZE - 1)
        probabilities = np.load(results[-1].predictions / f"{case}.npz")["probabilities"][:, z]
        entropy = -(probabilities * np.log(np.maximum(probabilities, 1e-12))).sum(0)
        row[-1].imshow(entropy, cmap="magma", norm=entropy_range, interpolation="nearest")
    bar = figure.colorbar(ScalarMappable(entropy_range, "magma"), ax=axes[:, -1].tolist(), shrink=0.8, aspect=25)
    bar.set_label("nats", fontsize=FONT_SIZE - 1)
    patches = [Patch(color=colour, label=name) for name, colour in zip(labels, LABEL_COLOURS, strict=False)]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(patches), frameon=False, fontsize=FONT_SIZE)
    figure.savefig(file, dpi=110)


def _read(file: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(file)))


def _coloured(segmentation: np.ndarray, labels: Mapping[str, int]) -> np.ndarray:
    """RGBA picture of a segmentation, transparent where there is background."""
    picture = np.zeros((*segmentation.shape, 4))
    for value, colour in zip(labels.values(), LABEL_COLOURS, strict=False):
        picture[segmentation == value] = to_rgba(colour, 0.6)
    return picture
