"""The records beside this file, and pairs of trainings that they have."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.common.intervals import in_brackets, t_interval

FOLDER = Path(__file__).resolve().parent
FEWEST_PAIRS = 3


@dataclass(frozen=True)
class Run:
    """A training of ``runs.csv``.

    Attributes:
        series: which trainings belong together; seeds of different series are different trainings.
        dataset: name of the data set.
        labels: number of labeled cases.
        arm: name of the arm.
        seed: of the training.
        steps: optimizer steps.
        dice: mean over test cases and classes, in [0, 1].
    """

    series: str
    dataset: str
    labels: int
    arm: str
    seed: int
    steps: int
    dice: float


@dataclass(frozen=True)
class Comparison:
    """An arm beside a reference, in trainings of the same series and seed.

    Attributes:
        dataset: name of the data set.
        labels: number of labeled cases.
        arm: name of the arm.
        arm_dice: of each pair.
        reference_dice: of each pair.
        seeds: of each pair; the same seed may be there in several series.
    """

    dataset: str
    labels: int
    arm: str
    arm_dice: tuple[float, ...]
    reference_dice: tuple[float, ...]
    seeds: tuple[int, ...]

    @property
    def pairs(self) -> int:
        """How many pairs of trainings there are."""
        return len(self.arm_dice)

    @property
    def won(self) -> int:
        """In how many pairs the arm has the higher Dice."""
        return sum(one > other for one, other in zip(self.arm_dice, self.reference_dice, strict=True))

    @property
    def arm_mean(self) -> float:
        """The arm's mean Dice."""
        return float(np.mean(self.arm_dice))

    @property
    def reference_mean(self) -> float:
        """The reference's mean Dice in the same pairs."""
        return float(np.mean(self.reference_dice))

    @property
    def difference(self) -> float:
        """The arm's mean Dice minus the reference's."""
        return float(np.mean(np.subtract(self.arm_dice, self.reference_dice)))

    def interval(self) -> tuple[float, float] | None:
        """The 95 % t interval of the difference over pairs; None for fewer than three."""
        if self.pairs < FEWEST_PAIRS:
            return None
        return t_interval(np.subtract(self.arm_dice, self.reference_dice).tolist())

    def interval_over_seeds(self) -> tuple[float, float] | None:
        """The same over seeds, where pairs of one seed are averaged first, since their networks begin alike."""
        differences = np.subtract(self.arm_dice, self.reference_dice)
        of_seeds = [float(differences[np.array(self.seeds) == seed].mean()) for seed in sorted(set(self.seeds))]
        return t_interval(of_seeds) if len(of_seeds) >= FEWEST_PAIRS else None

    def describe_interval(self) -> str:
        """The interval in brackets; empty where there is none."""
        interval = self.interval()
        return "" if interval is None else in_brackets(interval)


def read_table(name: str) -> list[dict[str, str]]:
    """Read a file of this folder.

    Args:
        name: of the CSV file.

    Returns:
        A dictionary for each line.
    """
    with (FOLDER / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read_runs() -> list[Run]:
    """All trainings of ``runs.csv``, in the file's order."""
    return [
        Run(
            series=row["series"],
            dataset=row["dataset"],
            labels=int(row["labels"]),
            arm=row["arm"],
            seed=int(row["seed"]),
            steps=int(row["epochs"]) * int(row["steps"]),
            dice=float(row["dice"]),
        )
        for row in read_table("runs.csv")
    ]


def compare(runs: Sequence[Run], dataset: str, labels: int, arm: str, reference: str) -> Comparison | None:
    """Pair the trainings of an arm with those of a reference.

    Args:
        runs: of any data set.
        dataset: name of the data set.
        labels: number of labeled cases.
        arm: name of the arm.
        reference: name of the arm that it is held against.

    Returns:
        The pairs of the same series and seed; None where there is none.
    """
    of_task = [run for run in runs if (run.dataset, run.labels) == (dataset, labels)]
    of_reference = {(run.series, run.seed): run.dice for run in of_task if run.arm == reference}
    of_arm = {(run.series, run.seed): run.dice for run in of_task if run.arm == arm}
    common = [key for key in of_arm if key in of_reference]
    if not common:
        return None
    arm_dice, reference_dice = tuple(of_arm[key] for key in common), tuple(of_reference[key] for key in common)
    return Comparison(dataset, labels, arm, arm_dice, reference_dice, tuple(seed for _, seed in common))
