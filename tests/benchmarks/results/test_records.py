"""Pairs of trainings."""

from __future__ import annotations

import pytest

from benchmarks.label_efficiency.arms import ARMS
from benchmarks.results.records import Comparison, Run, compare, read_runs
from benchmarks.results.titles import HARD_ARM, PARTS_OF_DYCON


def run(arm: str, series: str, seed: int, dice: float, *, labels: int = 4, dataset: str = "a") -> Run:
    return Run(series=series, dataset=dataset, labels=labels, arm=arm, seed=seed, steps=1, dice=dice)


def test_trainings_of_the_same_series_and_seed_are_a_pair() -> None:
    runs = [
        run("one", "first", 0, 0.75),
        run("one", "second", 0, 0.5),
        run("one", "second", 1, 1.0),
        run("other", "second", 0, 0.25),
        run("other", "first", 0, 0.875),
        run("other", "first", 1, 0.0),
        run("other", "second", 1, 0.0, labels=8),
        run("other", "second", 1, 0.0, dataset="b"),
    ]
    found = compare(runs, "a", 4, "one", "other")
    assert found == Comparison("a", 4, "one", arm_dice=(0.75, 0.5), reference_dice=(0.875, 0.25), seeds=(0, 0))
    assert (found.pairs, found.won, found.difference) == (2, 1, 0.0625)
    assert found.describe_interval() == ""
    assert compare(runs, "a", 4, "one", "absent") is None


def test_interval_is_that_of_students_t() -> None:
    found = Comparison("a", 4, "one", arm_dice=(0.1, 0.2, 0.3), reference_dice=(0.0, 0.0, 0.0), seeds=(0, 1, 2))
    # Mean 0.2, standard error 0.1 / sqrt(3), and 4.303 is the 97.5 % quantile with 2 degrees of freedom.
    assert found.interval() == pytest.approx((0.2 - 0.24841, 0.2 + 0.24841), abs=1e-4)
    assert found.describe_interval() == "[-0.0484, +0.4484]"


def test_over_seeds_pairs_of_one_seed_are_averaged_first() -> None:
    dice = (0.0, 0.5, 0.25, 0.25, 0.25)
    found = Comparison("a", 4, "one", dice, reference_dice=(0.0,) * 5, seeds=(0, 1, 2, 1, 0))
    # Means of the seeds: 0.125, 0.375, 0.25.
    assert (
        found.interval_over_seeds() == Comparison("a", 4, "one", (0.125, 0.375, 0.25), (0.0,) * 3, (0, 1, 2)).interval()
    )
    assert Comparison("a", 4, "one", dice, (0.0,) * 5, seeds=(0, 1, 1, 1, 0)).interval_over_seeds() is None


def test_no_training_is_recorded_twice_and_all_arms_are_known() -> None:
    runs = read_runs()
    assert len({(each.series, each.dataset, each.labels, each.arm, each.seed) for each in runs}) == len(runs)
    assert {each.arm for each in runs} <= ARMS.keys() | PARTS_OF_DYCON.keys() | {HARD_ARM}
    assert all(0 < each.dice < 1 for each in runs)
