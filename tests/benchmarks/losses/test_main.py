from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks.losses import __main__
from benchmarks.losses.measure import Case, seconds
from benchmarks.losses.report import add_ratios, row, table


def test_command_writes_all_measurements_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    __main__.main(["--output", str(tmp_path), "--cells", "--patch-sizes", "8", "--repeats", "1", "--device", "cpu"])
    measurements = json.loads((tmp_path / "losses.json").read_text())["measurements"]
    measured = [(each["loss"], each["size"], each["implementation"]) for each in measurements]
    assert measured == [("UnCL", 8, "reference"), ("UnCL", 8, "package")]
    assert all(each["seconds"] > 0 for each in measurements)
    assert (tmp_path / "losses.png").read_bytes().startswith(b"\x89PNG")
    assert "| UnCL | 8    | package" in capsys.readouterr().out


@pytest.mark.parametrize("case", [Case("FeCL", 64), Case("UnCL", 8)])
def test_all_implementations_are_timed(case: Case) -> None:
    times = seconds(case, repeats=1, device=torch.device("cpu"), with_reference=True)
    assert tuple(times) == case.implementations
    assert min(times.values()) > 0
    assert tuple(seconds(case, 1, torch.device("cpu"), with_reference=False)) == case.implementations[1:]


def test_ratios_are_of_the_reference_of_the_same_loss_and_size() -> None:
    rows = [
        row("FeCL", 1, "reference", 4.0, 8 * 1024**2),
        row("FeCL", 1, "paper", 1.0, 2 * 1024**2),
        row("FeCL", 2, "reference", None, None),
        row("FeCL", 2, "paper", 3.0, 1024**2),
    ]
    add_ratios(rows)
    assert [each["seconds_ratio"] for each in rows] == [1, 0.25, None, None]
    assert [each["peak_mebibytes_ratio"] for each in rows] == [1, 0.25, None, None]
    assert "| FeCL | 2    | reference      | -        | -            | -          | -            |" in table(rows)
