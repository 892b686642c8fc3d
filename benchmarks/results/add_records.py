"""Records of a report of ``benchmarks.label_efficiency``, added to those beside this file.

``python -m benchmarks.results.add_records --report REPORT --series NAME`` adds the done trainings of
``REPORT/runs.csv`` and the rows of ``REPORT/cases.csv`` that belong to them. A training that is there is left as it is.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterable
from pathlib import Path

from benchmarks.common.command_line import exit_code_of, make_parser
from benchmarks.results.records import FOLDER
from nnunetv2_dycon.exceptions import UserError

METRICS = ("dice", "jaccard", "hd95", "asd")
_TRAINING = ("dataset", "budget", "arm", "seed")

Row = dict[str, str]


def add_records(report: Path, series: str, folder: Path = FOLDER) -> int:
    """Add the trainings of a report.

    Args:
        report: folder that ``benchmarks.label_efficiency report`` wrote.
        series: see :class:`benchmarks.results.records.Run`; one for each machine and precision.
        folder: with ``runs.csv`` and ``cases.csv``.

    Returns:
        How many trainings were added.

    Raises:
        UserError: if a file is missing or lacks a column.
    """
    runs, cases = (_read(folder / name) for name in ("runs.csv", "cases.csv"))
    there = {(row["series"], *_training(row)) for row in runs[1]}
    new = [row for row in _read(report / "runs.csv")[1] if row["state"] == "done"]
    new = [row for row in new if (series, *_training(row)) not in there]
    added = {_training(row) for row in new}
    new_cases = [row for row in _read(report / "cases.csv")[1] if _training(row) in added]
    for row in new_cases:
        # Five digits are more than two trainings have in common.
        row.update({name: f"{float(row[name]):.5g}" for name in METRICS if row[name]})
    for name, (header, old), rows in (("runs.csv", runs, new), ("cases.csv", cases, new_cases)):
        _write(folder / name, header, [*old, *({"series": series, **row} for row in rows)])
    return len(new)


def _training(row: Row) -> tuple[str, ...]:
    try:
        return tuple(row[name] for name in _TRAINING)
    except KeyError as error:
        raise UserError(f"a row lacks the column {error}: is this a report of benchmarks.label_efficiency?") from error


def _read(file: Path) -> tuple[list[str], list[Row]]:
    if not file.is_file():
        raise UserError(f"{file} is not there: write the report with benchmarks.label_efficiency report")
    with file.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        return list(reader.fieldnames or ()), list(reader)


def _write(file: Path, header: list[str], rows: Iterable[Row]) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, header, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main(arguments: list[str] | None = None) -> int:
    """Add the trainings that the command line names; returns the exit code."""
    parser = make_parser("benchmarks.results.add_records", __doc__)
    parser.add_argument("--report", type=Path, required=True, metavar="FOLDER", help="what report --output wrote")
    parser.add_argument("--series", required=True, metavar="NAME", help="of this machine and precision")
    options = parser.parse_args(arguments)
    return exit_code_of(lambda: _add(options))


def _add(options: argparse.Namespace) -> None:
    print(f"Added {add_records(options.report, options.series)} trainings. Now: make pages")


if __name__ == "__main__":
    sys.exit(main())
