from __future__ import annotations

import csv
import json
from pathlib import Path

from nnunetv2_dycon.demo.report import TrainerResult, choose_cases, compare, describe, write_results_table


def result(folder: Path, title: str, dice: dict[str, float]) -> TrainerResult:
    """A trainer of these Dice by case."""
    folder = folder / title
    folder.mkdir()
    cases = [
        {"prediction_file": f"/x/{case}.nii.gz", "metrics": {"1": {"Dice": value}}} for case, value in dice.items()
    ]
    (folder / "summary.json").write_text(json.dumps({"metric_per_case": cases}))
    return TrainerResult(title, folder, 1.0)


def test_shows_the_largest_difference_and_the_median_one(tmp_path: Path) -> None:
    plain = result(tmp_path, "nnU-Net", {"a": 0.5, "b": 0.2, "c": 0.8, "d": 0.6, "e": 0.9})
    dycon = result(tmp_path, "DyCON", {"a": 0.6, "b": 0.8, "c": 0.81, "d": 0.9, "e": 0.7})
    difference = compare(plain, dycon)
    chosen = choose_cases(difference)
    assert [(case.name, case.reason) for case in chosen] == [("b", "largest difference"), ("a", "median difference")]
    text = describe(difference, plain.title, dycon.title)
    assert text == "DyCON - nnU-Net: +0.162; DyCON is better in 4 of 5 test scans."


def test_a_single_case_is_shown_once(tmp_path: Path) -> None:
    plain, dycon = result(tmp_path, "nnU-Net", {"a": 0.5}), result(tmp_path, "DyCON", {"a": 0.4})
    difference = compare(plain, dycon)
    assert [case.name for case in choose_cases(difference)] == ["a"]
    assert "-0.100; DyCON is better in 0 of 1" in describe(difference, plain.title, dycon.title)


def test_dice_of_a_case_is_the_mean_of_its_labels(tmp_path: Path) -> None:
    cases = [{"prediction_file": "/x/a.nii.gz", "metrics": {"1": {"Dice": 0.5}, "2": {"Dice": 1.0}}}]
    (tmp_path / "summary.json").write_text(json.dumps({"metric_per_case": cases}))
    assert TrainerResult("DyCON", tmp_path, 1.0).dice == {"a": 0.75}


def tables(folder: Path, labels: dict[str, int]) -> tuple[list[list[str]], str]:
    results = []
    for title, dice in (("nnU-Net", (0.9, 0.25)), ("DyCON", (0.91, 0.5))):
        (folder / title).mkdir()
        mean = {str(value): {"Dice": dice[value - 1]} for value in labels.values()}
        summary = {"mean": mean, "foreground_mean": {"Dice": sum(dice) / 2}}
        (folder / title / "summary.json").write_text(json.dumps(summary))
        results.append(TrainerResult(title, folder / title, 12.4))
    table = write_results_table(results, labels, folder)
    with (folder / "results.csv").open(newline="") as file:
        return list(csv.reader(file)), table


def test_table_has_the_mean_dice_of_each_label(tmp_path: Path) -> None:
    rows, table = tables(tmp_path, {"organ": 1, "lesion": 2})
    assert rows == [
        ["trainer", "Dice organ", "Dice lesion", "Dice mean", "training (s)"],
        ["nnU-Net", "0.900", "0.250", "0.575", "12"],
        ["DyCON", "0.910", "0.500", "0.705", "12"],
    ]
    lines = table.splitlines()
    assert lines[0] == "| trainer | Dice organ | Dice lesion | Dice mean | training (s) |"
    assert lines[3] == "| DyCON | 0.910 | 0.500 | 0.705 | 12 |"
    assert (tmp_path / "results.md").read_text() == table + "\n"


def test_table_of_one_label_has_no_mean_over_labels(tmp_path: Path) -> None:
    rows, _ = tables(tmp_path, {"organ": 1})
    assert rows[0] == ["trainer", "Dice organ", "training (s)"]
    assert rows[2] == ["DyCON", "0.910", "12"]
