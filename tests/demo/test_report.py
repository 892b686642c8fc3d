from __future__ import annotations

import csv
import json
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_dycon.demo.dataset import write_demo_dataset
from nnunetv2_dycon.demo.report import TrainerResult, draw_picture, write_results_table

LABELS = {"organ": 1, "lesion": 2}


@pytest.fixture
def result(tmp_path: Path) -> TrainerResult:
    """A trainer that predicts the ground truth with certainty."""
    raw, predictions = tmp_path / "raw", tmp_path / "predictions"
    write_demo_dataset(raw, labeled=1, unlabeled=0, test=2, shape=(14, 16, 16))
    predictions.mkdir()
    cases = []
    for file in sorted((raw / "labelsTs").iterdir()):
        labels = sitk.ReadImage(str(file))
        sitk.WriteImage(labels, str(predictions / file.name))
        one_hot = np.stack([sitk.GetArrayFromImage(labels) == value for value in (0, 1, 2)]).astype(np.float32)
        np.savez_compressed(predictions / file.name.replace(".nii.gz", ".npz"), probabilities=one_hot)
        metrics = {"1": {"Dice": 1.0}, "2": {"Dice": 1.0}}
        cases.append({"prediction_file": str(predictions / file.name), "metrics": metrics})
    (predictions / "summary.json").write_text(json.dumps({"metric_per_case": cases}))
    return TrainerResult("DyCON", predictions, 1.0)


def draw(tmp_path: Path, result: TrainerResult, cases: list[str]) -> np.ndarray:
    raw, file = tmp_path / "raw", tmp_path / "demo.png"
    draw_picture(
        file, images=raw / "imagesTs", ground_truth=raw / "labelsTs", results=[result], labels=LABELS, cases=cases
    )
    return matplotlib.image.imread(file)


def test_picture_grows_with_the_cases(tmp_path: Path, result: TrainerResult) -> None:
    one, two = draw(tmp_path, result, ["demo_001"]), draw(tmp_path, result, ["demo_001", "demo_002"])
    assert one.shape[1] == two.shape[1]
    assert one.shape[0] < two.shape[0]


def test_a_certain_prediction_has_no_entropy_and_a_flat_one_the_most(tmp_path: Path, result: TrainerResult) -> None:
    certain = draw(tmp_path, result, ["demo_001"])
    with np.load(result.predictions / "demo_001.npz") as saved:
        flat = np.full_like(saved["probabilities"], 1 / 3)
    np.savez_compressed(result.predictions / "demo_001.npz", probabilities=flat)
    uncertain = draw(tmp_path, result, ["demo_001"])
    changed = np.abs(certain - uncertain).max(-1) > 0.02
    rows, columns = np.where(changed)
    panel = (slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1))
    assert changed[panel].mean() > 0.99
    assert certain[panel][..., :3].max() < 0.05
    assert uncertain[panel][..., :3].min() > 0.7


def test_refuses_a_case_that_was_not_evaluated(tmp_path: Path, result: TrainerResult) -> None:
    (result.predictions / "summary.json").write_text(json.dumps({"metric_per_case": []}))
    with pytest.raises(ValueError, match="has no case demo_001"):
        draw(tmp_path, result, ["demo_001"])


def test_table_has_the_mean_dice_of_each_label(tmp_path: Path) -> None:
    results = []
    for title, organ, lesion in (("nnU-Net", 0.9, 0.25), ("DyCON", 0.91, 0.5)):
        folder = tmp_path / title
        folder.mkdir()
        mean = {"1": {"Dice": organ}, "2": {"Dice": lesion}}
        summary = {"mean": mean, "foreground_mean": {"Dice": (organ + lesion) / 2}}
        (folder / "summary.json").write_text(json.dumps(summary))
        results.append(TrainerResult(title, folder, 12.4))
    table = write_results_table(results, {"organ": 1, "lesion": 2}, tmp_path)
    with (tmp_path / "results.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["trainer", "Dice organ", "Dice lesion", "Dice mean", "training (s)"],
        ["nnU-Net", "0.900", "0.250", "0.575", "12"],
        ["DyCON", "0.910", "0.500", "0.705", "12"],
    ]
    lines = table.splitlines()
    assert lines[0] == "| trainer | Dice organ | Dice lesion | Dice mean | training (s) |"
    assert lines[3] == "| DyCON | 0.910 | 0.500 | 0.705 | 12 |"
    assert (tmp_path / "results.md").read_text() == table + "\n"
