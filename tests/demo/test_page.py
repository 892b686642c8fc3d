"""documentation/demo.md says what the records and the generator say."""

from __future__ import annotations

import csv
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from nnunetv2_dycon.demo.scanners import ALL_SCANNERS, ONE_SCANNER, Ranges

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "documentation" / "demo.md").read_text(encoding="utf-8")


def table_after(heading: str) -> list[list[str]]:
    lines = PAGE.split(heading)[1].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return rows[2:]


@pytest.fixture(scope="module")
def dice() -> dict[tuple[str, int], list[float]]:
    """Dice of all scans, by trainer and seed."""
    found: dict[tuple[str, int], list[float]] = {}
    with (REPOSITORY / "benchmarks" / "results" / "demo.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault((row["trainer"], int(row["seed"])), []).append(float(row["dice"]))
    return found


def test_results_are_those_of_the_records(dice: dict[tuple[str, int], list[float]]) -> None:
    rows = table_after("## Five trainings of each")
    assert [row[0] for row in rows] == [*map(str, range(5)), "mean"]
    for seed, row in enumerate(rows[:5]):
        plain, dycon = np.array(dice["nnU-Net", seed]), np.array(dice["DyCON", seed])
        means = f"{plain.mean():.3f}", f"{dycon.mean():.3f}", f"{dycon.mean() - plain.mean():+.3f}"
        assert tuple(row[1:4]) == means
        assert row[4] == f"{(dycon > plain).sum()} of {len(plain)}"
        assert dycon.mean() > plain.mean()
    means = [np.mean([np.mean(dice[title, seed]) for seed in range(5)]) for title in ("nnU-Net", "DyCON")]
    assert rows[5][1:4] == [f"{means[0]:.3f}", f"{means[1]:.3f}", f"{means[1] - means[0]:+.3f}"]


def test_ranges_are_those_of_the_generator() -> None:
    rows = [
        row for row in table_after("Each property of a scan is drawn uniformly:") if row[0] not in map(str, range(5))
    ]
    written = {row[0]: (row[1], row[2]) for row in rows[: len(fields(Ranges))]}
    assert written == {
        field.name: tuple("{:g} to {:g}".format(*getattr(ranges, field.name)) for ranges in (ONE_SCANNER, ALL_SCANNERS))
        for field in fields(Ranges)
    }
