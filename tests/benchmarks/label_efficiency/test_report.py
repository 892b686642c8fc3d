from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from benchmarks.label_efficiency import __main__
from benchmarks.label_efficiency.runs import RECORD_VERSION, Workspace


def test_command_writes_everything(
    recorded_workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "report"
    assert __main__.main(["report", "--workspace", str(recorded_workspace.root), "--output", str(output)]) == 0
    text = (output / "report.md").read_text()
    assert capsys.readouterr().out.strip() == text.strip()
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| DyCON")
    ]
    assert rows[0][:3] == ["DyCON", "2", "0.7500 ± 0.0141"]
    assert rows[0][6:] == [
        "0.7800 ± 0.0141",
        "+0.0500 [-0.0051, +0.1051]",
        "33 %",
        "8 (2x)",
        "",
        "2 of 8",
        "+0.0300 (+0.0400)",
        "2.0",
    ]
    behind = next(line for line in text.splitlines() if line.startswith("| MeanTeacher"))
    assert "| +0.0200 [" in behind
    assert "- set, 4 labels, BCP, seed 0: failed, see " in text
    assert "- set, 8 labels, DyCON, seed 0: not started" in text

    with (output / "runs.csv").open() as file:
        runs = list(csv.DictReader(file))
    assert len(runs) == 10
    by_run = {(run["budget"], run["arm"], run["seed"]): run for run in runs}
    assert by_run["8", "DyCON", "0"]["state"] == "not started"
    assert by_run["8", "DyCON", "0"]["dice"] == ""
    assert float(by_run["4", "DyCON", "1"]["dice"]) == pytest.approx(0.76)
    assert float(by_run["4", "DyCON", "1"]["dice_postprocessed"]) == pytest.approx(0.79)
    assert by_run["4", "DyCON", "1"]["hd95_not_defined"] == "1"
    assert float(by_run["4", "DyCON", "1"]["dice_gained_in_last_quarter"]) == pytest.approx(0.03)
    assert float(by_run["4", "DyCON", "1"]["pseudo_dice_gained_in_last_quarter"]) == pytest.approx(0.04)
    with (output / "cases.csv").open() as file:
        cases = list(csv.DictReader(file))
    assert len(cases) == 8 * 2 * 2
    assert all(float(case["dice_postprocessed"]) == pytest.approx(float(case["dice"]) + 0.03) for case in cases)
    assert {case["hd95"] for case in cases if (case["case"], case["class"]) == ("c1", "b")} == {""}

    content = json.loads((output / "report.json").read_text())
    assert [each["run"] for each in content["not_done"]] == [
        "set, 4 labels, BCP, seed 0",
        "set, 8 labels, DyCON, seed 0",
    ]
    assert (output / "report.png").read_bytes().startswith(b"\x89PNG")


def test_runs_of_one_arm_with_different_settings_are_named(
    recorded_workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = recorded_workspace.run_folder("set", "4", "DyCON", 1) / "record.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "settings": {"uncl_weight": 9.0}}))
    assert (
        __main__.main(["report", "--workspace", str(recorded_workspace.root), "--output", str(tmp_path / "report")])
        == 0
    )
    assert "- set, DyCON: the runs differ in uncl_weight" in capsys.readouterr().out


def test_record_of_another_version_is_refused(
    recorded_workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = recorded_workspace.run_folder("set", "4", "DyCON", 1) / "record.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "version": RECORD_VERSION - 1}))
    assert (
        __main__.main(["report", "--workspace", str(recorded_workspace.root), "--output", str(tmp_path / "report")])
        == 1
    )
    message = capsys.readouterr().err
    assert str(file) in message
    assert f"version {RECORD_VERSION - 1}" in message


def test_no_runs_to_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["report", "--workspace", str(tmp_path), "--output", str(tmp_path)]) == 1
    assert "has no runs" in capsys.readouterr().err
