"""Trainings whose predictions were scored with and without postprocessing."""

from __future__ import annotations

import pytest

from benchmarks.results import postprocessed


def test_rows_are_means_of_the_trainings_that_have_both(monkeypatch: pytest.MonkeyPatch) -> None:
    task = {"series": "a", "dataset": "acdc", "labels": "6", "epochs": "160", "steps": "200"}
    rows = [
        {**task, "arm": "nnUNet", "dice": "0.6", "dice_postprocessed": "0.7"},
        {**task, "arm": "nnUNet", "dice": "0.5", "dice_postprocessed": "0.54"},
        {**task, "arm": "nnUNet", "dice": "0.1", "dice_postprocessed": ""},
        {**task, "series": "b", "arm": "nnUNet", "dice": "0.4", "dice_postprocessed": "0.5"},
        {**task, "dataset": "lung_nodules", "labels": "8", "arm": "DyCON", "dice": "0.8", "dice_postprocessed": "0.79"},
    ]
    monkeypatch.setattr(postprocessed, "read_table", lambda _: rows)
    table = postprocessed.table_of_postprocessing().splitlines()[2:]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table]
    assert cells == [
        ["heart", "32,000", "6", "nnU-Net", "2", "0.5500", "0.6200", "+0.0700"],
        ["heart", "32,000", "6", "nnU-Net", "1", "0.4000", "0.5000", "+0.1000"],
        ["lung nodules", "32,000", "8", "DyCON", "1", "0.8000", "0.7900", "-0.0100"],
    ]
    lower = "1 of 3 means is lower: DyCON on lung nodules (8 labels, 32,000 steps) by 0.0100."
    assert postprocessed.describe_lower_means() == lower
    monkeypatch.setattr(postprocessed, "read_table", lambda _: rows[:2])
    assert postprocessed.describe_lower_means() == "None of 1 means is lower."
