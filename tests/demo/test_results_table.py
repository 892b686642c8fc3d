from __future__ import annotations

import csv
import json
from pathlib import Path

from nnunetv2_dycon.demo.results_table import TrainerResult, write_results_table


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
