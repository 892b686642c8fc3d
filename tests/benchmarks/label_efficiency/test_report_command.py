from __future__ import annotations

import csv
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.label_efficiency import __main__
from benchmarks.label_efficiency.arms import ARMS
from benchmarks.label_efficiency.records import RECORD_VERSION, read_records
from benchmarks.label_efficiency.run import Run
from benchmarks.label_efficiency.summary import summarise
from benchmarks.label_efficiency.workspace import Workspace

CURVE = [0.01 * epoch for epoch in range(16)]


def write_run(workspace: Workspace, budget: str, arm: str, seed: int, dice: dict[str, float] | None) -> Run:
    """A run with a Dice for each case; class b is 0.1 better than class a. Without ``dice``, one that is not done."""
    run = Run(workspace.run_folder("set", budget, arm, seed), "set", budget, ARMS[arm], seed)
    run.plan()
    if dice is None:
        return run
    number = 64 if budget == "all" else int(budget)
    metrics = {
        case: {
            "a": {"dice": value - 0.05, "jaccard": 0.5, "hd95": 4.0, "asd": 1.0},
            "b": {"dice": value + 0.05, "jaccard": 0.5, "hd95": None if case == "c1" else 2.0, "asd": 1.0},
        }
        for case, value in dice.items()
    }
    # What the last quarter of the training brought: 0.02 for both classes of c0, 0.04 for class a of c1.
    unmirrored = {
        checkpoint: {
            "c0": {"a": {"dice": 0.5 + gain}, "b": {"dice": 0.7 + gain}},
            "c1": {"a": {"dice": 0.6 + 2 * gain}},
        }
        for checkpoint, gain in (("three_quarters", 0.0), ("final", 0.02))
    }
    record = {
        "version": RECORD_VERSION,
        "dataset": "set",
        "budget": budget,
        "arm": asdict(ARMS[arm]),
        "seed": seed,
        "labeled": [f"l{index}" for index in range(number)],
        "settings": {},
        "preset": {"epochs": 16, "steps": 5},
        "training_seconds": 120.0,
        "prediction_seconds": 6.0,
        "curves": {"mean_fg_dice": CURVE},
        "metrics": metrics,
        "metrics_without_mirroring": unmirrored,
    }
    run.record_file.write_text(json.dumps(record))
    return run


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path / "workspace")
    for seed, shift in enumerate((-0.01, 0.01)):
        write_run(workspace, "4", "nnUNet", seed, {"c0": 0.60 + shift, "c1": 0.80 + shift})
        write_run(workspace, "4", "DyCON", seed, {"c0": 0.64 + shift, "c1": 0.86 + shift})
    write_run(workspace, "4", "MeanTeacher", 0, {"c0": 0.59, "c1": 0.87})
    write_run(workspace, "16", "nnUNet", 0, {"c0": 0.70, "c1": 0.90})
    write_run(workspace, "all", "nnUNet", 0, {"c0": 0.75, "c1": 0.95})
    write_run(workspace, "16", "MeanTeacher", 1, {"c0": 0.95, "c1": 0.97})
    failed = write_run(workspace, "4", "BCP", 0, None)
    failed.failure_file.write_text(json.dumps({"exit_code": 1, "log": str(failed.log_file)}))
    write_run(workspace, "8", "DyCON", 0, None)
    return workspace


def test_summary_by_hand(workspace: Workspace) -> None:
    arms = {(each.arm, each.labels): each for each in summarise(read_records(workspace))}
    assert list(arms) == [
        ("nnUNet", 4),
        ("DyCON", 4),
        ("MeanTeacher", 4),
        ("nnUNet", 16),
        ("MeanTeacher", 16),
        ("nnUNet", 64),
    ]
    plain, dycon, behind, teacher = (
        arms[key] for key in (("nnUNet", 4), ("DyCON", 4), ("MeanTeacher", 4), ("MeanTeacher", 16))
    )
    assert plain.metrics["dice"].mean == pytest.approx(0.70)
    assert plain.metrics["dice"].deviation == pytest.approx(0.02 / 2**0.5)
    assert arms["nnUNet", 16].metrics["dice"].deviation is None
    assert dycon.metrics["dice"].mean == pytest.approx(0.75)
    assert dycon.scores == pytest.approx((0.74, 0.76))
    assert dycon.metrics_of_classes["a"]["dice"].mean == pytest.approx(0.70)
    assert dycon.metrics_of_classes["b"]["dice"].mean == pytest.approx(0.80)
    # Of case c1 only class a has a distance: (mean(4, 2) + 4) / 2.
    assert dycon.metrics["hd95"].mean == pytest.approx(3.5)
    assert (dycon.undefined["hd95"], dycon.undefined["asd"], dycon.values) == (2, 0, 8)
    # Differences are 0.04 on c0 and 0.06 on c1 with both seeds.
    assert dycon.difference.mean == pytest.approx(0.05)
    assert dycon.difference.low == pytest.approx(0.04)
    assert dycon.difference.high == pytest.approx(0.06)
    assert dycon.compared_seeds == 2
    assert (dycon.lead_of_method, dycon.seeds_of_lead) == (None, 0)
    assert plain.lead_of_method == dycon.difference
    assert plain.seeds_of_lead == 2
    # Only seed 0 of the mean teacher: 0.04 behind on c0, 0.02 ahead on c1.
    assert behind.lead_of_method.mean == pytest.approx(0.01)
    assert behind.lead_of_method.low == pytest.approx(-0.02)
    assert behind.lead_of_method.high == pytest.approx(0.04)
    assert (behind.seeds_of_lead, teacher.lead_of_method) == (1, None)
    assert dycon.gap_closed == pytest.approx((0.75 - 0.70) / (0.85 - 0.70))
    # 0.75 is half way from 4 labels (0.70) to 16 (0.80).
    assert dycon.savings.labels == pytest.approx(8.0)
    assert dycon.savings.factor == pytest.approx(2.0)
    assert dycon.pseudo_dice_gained == pytest.approx(0.04)
    assert dycon.dice_gained == pytest.approx((0.02 + 0.04) / 2)
    assert plain.difference is None
    assert plain.savings is None
    assert (teacher.difference, teacher.compared_seeds) == (None, 0)
    assert teacher.savings.bound == "more than"


def test_command_writes_everything(workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "report"
    assert __main__.main(["report", "--workspace", str(workspace.root), "--output", str(output)]) == 0
    text = (output / "report.md").read_text()
    assert capsys.readouterr().out.strip() == text.strip()
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| DyCON")
    ]
    assert rows[0][:3] == ["DyCON", "2", "0.7500 ± 0.0141"]
    assert rows[0][6:] == ["+0.0500 [+0.0400, +0.0600]", "33 %", "8 (2x)", "", "2 of 8", "+0.0300 (+0.0400)", "2.0"]
    behind = next(line for line in text.splitlines() if line.startswith("| MeanTeacher"))
    assert "| +0.0100 [-0.0200, +0.0400] |" in behind
    assert "no seed in common" in text
    assert "- set, 4 labels, BCP, seed 0: failed, see " in text
    assert "- set, 8 labels, DyCON, seed 0: not started" in text

    with (output / "runs.csv").open() as file:
        runs = list(csv.DictReader(file))
    assert len(runs) == 10
    by_run = {(run["budget"], run["arm"], run["seed"]): run for run in runs}
    assert by_run["8", "DyCON", "0"]["state"] == "not started"
    assert by_run["8", "DyCON", "0"]["dice"] == ""
    assert float(by_run["4", "DyCON", "1"]["dice"]) == pytest.approx(0.76)
    assert by_run["4", "DyCON", "1"]["hd95_not_defined"] == "1"
    assert float(by_run["4", "DyCON", "1"]["dice_gained_in_last_quarter"]) == pytest.approx(0.03)
    assert float(by_run["4", "DyCON", "1"]["pseudo_dice_gained_in_last_quarter"]) == pytest.approx(0.04)
    with (output / "cases.csv").open() as file:
        cases = list(csv.DictReader(file))
    assert len(cases) == 8 * 2 * 2
    assert {case["hd95"] for case in cases if (case["case"], case["class"]) == ("c1", "b")} == {""}

    content = json.loads((output / "report.json").read_text())
    assert [each["run"] for each in content["not_done"]] == [
        "set, 4 labels, BCP, seed 0",
        "set, 8 labels, DyCON, seed 0",
    ]
    assert (output / "report.png").read_bytes().startswith(b"\x89PNG")


def test_runs_of_one_arm_with_different_settings_are_named(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = workspace.run_folder("set", "4", "DyCON", 1) / "record.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "settings": {"uncl_weight": 9.0}}))
    assert __main__.main(["report", "--workspace", str(workspace.root), "--output", str(tmp_path / "report")]) == 0
    assert "- set, DyCON: the runs differ in uncl_weight" in capsys.readouterr().out


def test_record_of_another_version_is_refused(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = workspace.run_folder("set", "4", "DyCON", 1) / "record.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "version": RECORD_VERSION - 1}))
    assert __main__.main(["report", "--workspace", str(workspace.root), "--output", str(tmp_path / "report")]) == 1
    message = capsys.readouterr().err
    assert str(file) in message
    assert f"version {RECORD_VERSION - 1}" in message


def test_report_of_real_runs_has_all_rows(
    finished_workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert __main__.main(["report", "--workspace", str(finished_workspace), "--output", str(tmp_path)]) == 0
    output = capsys.readouterr().out
    for arm in ("nnUNet", "DyCON", "EntropyMinimisation"):
        assert f"\n| {arm} " in output


def test_no_runs_to_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["report", "--workspace", str(tmp_path), "--output", str(tmp_path)]) == 1
    assert "has no runs" in capsys.readouterr().err
