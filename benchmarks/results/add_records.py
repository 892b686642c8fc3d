"""Records of a report of ``benchmarks.label_efficiency``, added to those beside this file.

``python -m benchmarks.results.add_records --report REPORT --series NAME`` adds the done trainings of
``REPORT/runs.csv`` and the rows of ``REPORT/cases.csv`` that belong to them. A training that is there is left as it is.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from benchmarks.common.command_line import exit_code_of, make_parser
from benchmarks.results.records import FOLDER
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.files import written_aside

METRICS = ("dice", "jaccard", "hd95", "asd", "dice_postprocessed")
_TRAINING = ("dataset", "budget", "arm", "seed")

Row = dict[str, str]


def add_records(report: Path, series: str, folder: Path = FOLDER) -> int:
    """Add the trainings of a report.

    Args:
        report: folder that ``benchmarks.label_efficiency report`` wrote.
        series: see :class:`benchmarks.results.records.Run`; one for each machine, precision and length.
        folder: with ``runs.csv`` and ``cases.csv``.

    Returns:
        How many trainings were added.

    Raises:
        UserError: if a file is missing, has other columns than the records or a row twice, a training that is there has
            another Dice, or the series would have trainings of several lengths on a data set. Nothing is written then.
    """
    (header, there), (header_of_cases, cases_there) = (_read(folder / name) for name in ("runs.csv", "cases.csv"))
    known = {_training(row): row for row in there if row["series"] == series}
    done = [row for row in _rows_like(header, report / "runs.csv") if row["state"] == "done"]
    _refuse_repeated([_training(row) for row in done], report / "runs.csv")
    new = [row for row in done if _training(row) not in known]
    for row in done:
        there_too = known.get(_training(row))
        if there_too is not None and float(there_too["dice"]) != float(row["dice"]):
            raise UserError(
                f"{' '.join(_training(row))} has a Dice of {row['dice']} in {report}, and {there_too['dice']} in the "
                f"records of the series {series}: name another series, or remove it from the records"
            )
    for dataset in {row["dataset"] for row in done}:
        of_series = [row for row in there if (row["series"], row["dataset"]) == (series, dataset)]
        lengths = {_length(row) for row in (*of_series, *done) if row["dataset"] == dataset}
        if len(lengths) > 1:
            raise UserError(
                f"{dataset} in the series {series} would have trainings of {' and '.join(sorted(lengths))}: name "
                "another series"
            )
    added = {_training(row) for row in new}
    new_cases = [row for row in _rows_like(header_of_cases, report / "cases.csv") if _training(row) in added]
    _refuse_repeated([(*_training(row), row["case"], row["class"]) for row in new_cases], report / "cases.csv")
    if without := added - {_training(row) for row in new_cases}:
        raise UserError(f"{report / 'cases.csv'} has no case of {' '.join(sorted(without)[0])}: write the report anew")
    for row in new_cases:
        # Five digits are more than two trainings have in common.
        row.update({name: f"{float(row[name]):.5g}" for name in METRICS if row.get(name)})
    # The cases first: a training is there once runs.csv has it, and what a kill between the two left is replaced.
    cases_there = [row for row in cases_there if row["series"] != series or _training(row) not in added]
    for name, columns, rows in (
        ("cases.csv", header_of_cases, [*cases_there, *new_cases]),
        ("runs.csv", header, [*there, *new]),
    ):
        text = _as_text(columns, ({"series": series, **row} for row in rows))
        with written_aside(folder / name) as aside:
            aside.write_text(text, encoding="utf-8", newline="")
    return len(new)


def _training(row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in _TRAINING)


def _refuse_repeated(keys: list[tuple[str, ...]], file: Path) -> None:
    if repeated := [key for key, number in Counter(keys).items() if number > 1]:
        raise UserError(f"{file} has {' '.join(repeated[0])} twice: write the report anew")


def _length(row: Row) -> str:
    return f"{row['epochs']} epochs of {row['steps']} steps"


def _rows_like(header: list[str], file: Path) -> list[Row]:
    """The rows of a report's file, which must have the columns of the records but for the series."""
    columns, rows = _read(file)
    if {*columns} != {*header} - {"series"}:
        different = ", ".join(sorted({*columns} ^ {*header} - {"series"}))
        raise UserError(f"{file} and the records differ in the columns {different}: is this a report of this version?")
    return rows


def _read(file: Path) -> tuple[list[str], list[Row]]:
    if not file.is_file():
        raise UserError(f"{file} is not there: write the report with benchmarks.label_efficiency report")
    with file.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        return list(reader.fieldnames or ()), list(reader)


def _as_text(header: list[str], rows: Iterable[Row]) -> str:
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, header, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def main(arguments: list[str] | None = None) -> int:
    """Add the trainings that the command line names; returns the exit code."""
    parser = make_parser("benchmarks.results.add_records", __doc__)
    parser.add_argument("--report", type=Path, required=True, metavar="FOLDER", help="what report --output wrote")
    parser.add_argument("--series", required=True, metavar="NAME", help="of this machine, precision and length")
    options = parser.parse_args(arguments)
    return exit_code_of(lambda: _add(options))


def _add(options: argparse.Namespace) -> None:
    print(f"Added {add_records(options.report, options.series)} trainings. Now: make pages")


if __name__ == "__main__":
    sys.exit(main())
