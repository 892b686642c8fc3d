"""A tiny draw, through the benchmark's command line and that of ``rank``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from unittest.mock import patch

import pytest

from benchmarks.choice_of_cases import __main__, draw
from benchmarks.choice_of_cases.draw import Result, Settings
from benchmarks.label_efficiency import scheduler
from nnunetv2_dycon.datasets.protocol import Protocol
from nnunetv2_dycon.demo.dataset import write_demo_dataset
from tests.benchmarks.label_efficiency.conftest import SHORT, run_here

SMALL = ["--patch-size", "16", "24", "16", "--features", "4", "8", "16", "--convolutions", "1", "1", "1"]


def test_a_draw_is_recorded_and_not_done_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, workspace, output = tmp_path / "tiny", tmp_path / "workspace", tmp_path / "output" / "runs.csv"
    write_demo_dataset(data, labeled=5, unlabeled=0, test=2, shape=(20, 28, 24))
    command = ["--data", str(data), "--workspace", str(workspace), "--preset", "hippocampus", "--output", str(output)]
    command += [
        "--choices",
        "coverage",
        "--draws",
        "3",
        "--first",
        "2",
        "--more",
        "1",
        "--device",
        "cpu",
        "--workers",
        "0",
        "--threads",
        "1",
    ]
    with patch.dict(os.environ), patch.object(scheduler, "_run_worker", run_here):
        assert __main__.main([*command, *SHORT, *SMALL]) == 0
        assert "| chosen by" in capsys.readouterr().out
        first = output.read_text()
        with patch.object(scheduler, "_run_worker", side_effect=AssertionError("it is done")):
            assert __main__.main([*command, *SHORT, *SMALL]) == 0
    assert output.read_text() == first
    results = __main__.read_csv(output)
    assert [(result.choice, result.labels) for result in results] == [("first training", 2), ("coverage", 3)]
    assert all(0 <= result.dice <= 1 for result in results)
    protocols = {
        name: json.loads((workspace / "choices" / f"tiny_draw3_{name}.json").read_text())
        for name in ("first", "coverage")
    }
    first_cases, chosen = protocols["first"]["train"][:2], results[1].chosen
    assert protocols["coverage"]["train"] == [*first_cases, chosen]
    assert chosen not in first_cases
    assert protocols["coverage"]["test"] == protocols["first"]["test"]


def test_random_cases_are_the_next_ones_of_the_draw(tmp_path: Path) -> None:
    data, trained = tmp_path / "tiny", []
    write_demo_dataset(data, labeled=5, unlabeled=0, test=2, shape=(12, 12, 12))
    settings = Settings(data, tmp_path / "workspace", "hippocampus", 2, 1, "cpu", 1)

    with (
        patch.object(draw, "_train", lambda *arguments: trained.append(arguments[3:])),
        patch.object(draw, "_dice", lambda _: 0.5),
    ):
        first, random = draw.do_draw(settings, 3, ["random"])
        draw.do_draw(settings, 4, ["random"])
    (order, budget), (chosen, all_cases), (other_order, _) = trained[:3]
    assert (budget, all_cases, random.chosen, first.labels) == ("2", "all", order.train[2], 2)
    assert chosen == Protocol(order.train[:3], order.test)
    assert sorted(order.train) == [f"demo_{number:03d}" for number in range(5)]
    assert other_order.train != order.train


def test_the_table_compares_with_the_random_choice_of_the_draw() -> None:
    results = [
        Result("d", number, choice, 8, "", dice)
        for number, choice, dice in ((0, "both", 0.8), (0, "random", 0.7), (1, "both", 0.6), (1, "random", 0.65))
    ]
    both, random = __main__.table(results).splitlines()[2:]
    assert [cell.strip() for cell in both.split("|")[1:-1]] == [
        *("both", "8", "2", "0.7000", "+0.0250", "+0.1000, -0.0500"),
    ]
    assert [cell.strip() for cell in random.split("|")[1:-1]] == ["random", "8", "2", "0.6750", "", ""]


def test_other_draws_and_data_sets_stay_in_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "runs.csv"
    command = ["--data", "d", "--workspace", "w", "--preset", "hippocampus", "--output", str(output), "--choices"]

    def do(settings: Settings, number: int, choices: list[str]) -> list[Result]:
        return [Result(settings.data.name, number, choice, 8, "", 0.5) for choice in choices]

    with patch.object(__main__, "do_draw", do):
        assert __main__.main([*command, "both", "random", "--draws", "0"]) == 0
        assert __main__.main([*command, "coverage", "--draws", "0", "1"]) == 0
        capsys.readouterr()
        assert __main__.main(["--data", "other", *command[2:], "random", "--draws", "0"]) == 0
    assert [(each.dataset, each.draw, each.choice) for each in __main__.read_csv(output)] == [
        *(("d", 0, "both"), ("d", 0, "random")),
        *(("d", 0, "coverage"), ("d", 1, "coverage"), ("other", 0, "random")),
    ]
    rows = capsys.readouterr().out.splitlines()[2:-1]
    assert [row.split("|")[1].strip() for row in rows] == ["random"]


def test_a_file_of_another_kind_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "runs.csv"
    output.write_text("series,draw\na,0\n")
    command = ["--data", "d", "--workspace", "w", "--preset", "hippocampus", "--output", str(output)]
    assert __main__.main(command) == 1
    assert "was not written by this version of the benchmark: choose another --output" in capsys.readouterr().err
    assert output.read_text() == "series,draw\na,0\n"


def test_too_few_cases_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_demo_dataset(tmp_path / "tiny", labeled=2, unlabeled=0, test=1, shape=(12, 12, 12))
    command = ["--data", str(tmp_path / "tiny"), "--workspace", str(tmp_path), "--preset", "hippocampus"]
    with patch.dict(os.environ):
        assert __main__.main([*command, "--output", str(tmp_path / "runs.csv")]) == 1
    assert "--first and --more must be at least 1, and together at most 2" in capsys.readouterr().err
