"""Which predictions to leave out: those that the model itself expects to be worst.

What a model of few labels gets wrong on a scan would be taught to the next model. Leaving out unstable predictions is a
part of the recipe of the challenge FLARE 2022's winners. Here the expected Dice tells them, see
:func:`nnunetv2_dycon.uncertainty.measures.expected_dice`: the order of scans counts, not the value, so probabilities
need not be calibrated.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path
from statistics import fmean

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.uncertainty.table import TABLE, read_table


def check_share(share: float) -> None:
    """Refuse a share of predictions to leave out that is not in [0, 1); a UserError."""
    if not 0 <= share < 1:
        raise UserError(f"--leave_out must be at least 0 and below 1, not {share:g}: 0.25 is a quarter of the scans")


def least_certain(expected_dice: Mapping[str, float], share: float) -> dict[str, float]:
    """The cases of the lowest expected Dice.

    Args:
        expected_dice: by case.
        share: how many of them, in [0, 1); rounded down.

    Returns:
        Their expected Dice by case, sorted by case. Of cases with the same one, the first by name are taken.
    """
    # 0.29 * 100 is a little less than 29.
    number = math.floor(share * len(expected_dice) + 1e-9)
    lowest = sorted(expected_dice, key=lambda case: (expected_dice[case], case))[:number]
    return {case: expected_dice[case] for case in sorted(lowest)}


def read_expected_dice(predictions: Path, cases: Collection[str]) -> dict[str, float]:
    """The expected Dice of each predicted case, the mean over its structures, from the table beside the predictions.

    Args:
        predictions: folder that ``nnunetv2_dycon uncertainty`` has written.
        cases: which to read.

    Returns:
        By case; without those in which nothing is predicted, which have none.

    Raises:
        UserError: where the table is missing, is another one or lacks a case.
    """
    table = predictions / TABLE
    if not table.is_file():
        raise UserError(
            f"{table} is not there, and --leave_out needs its column expected_dice: predict the scans with "
            "nnunetv2_dycon uncertainty --table_only in place of nnUNetv2_predict, or give --leave_out 0"
        )
    rows = read_table(table)
    if missing := sorted(set(cases) - {row["case"] for row in rows}):
        raise UserError(
            f"{table} has no row of {missing[0]}: repeat the command that wrote it with --continue_prediction, or give "
            "--leave_out 0"
        )
    found: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row["case"] in cases and row["expected_dice"]:
            found[row["case"]].append(_read_number(row["expected_dice"], table))
    return {case: fmean(values) for case, values in found.items()}


def _read_number(text: str, table: Path) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1:
        raise UserError(f"{table} has the expected_dice {text!r}, which is none: remove it, and predict again")
    return number
