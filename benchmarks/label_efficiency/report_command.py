"""``python -m benchmarks.label_efficiency report``."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from benchmarks.common.report import write_json
from benchmarks.label_efficiency.csv_files import write_cases_csv, write_runs_csv
from benchmarks.label_efficiency.picture import draw_picture
from benchmarks.label_efficiency.records import read_records
from benchmarks.label_efficiency.summary import summarise
from benchmarks.label_efficiency.tables import write_tables
from benchmarks.label_efficiency.workspace import Workspace
from nnunetv2_dycon.exceptions import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Writes report.md, report.json, report.png, runs.csv (a line a run) and cases.csv (a line a run, case and "
        "class) of the runs that are recorded, and names those that are not."
    )
    parser.add_argument("--workspace", type=Path, required=True, metavar="FOLDER", help="of the runs")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="where to write the report")


def run(options: argparse.Namespace) -> int:
    """Write the report.

    Args:
        options: as declared.

    Returns:
        The exit code, 0.

    Raises:
        UserError: if the workspace has no runs.
    """
    records = read_records(Workspace(options.workspace.resolve()))
    if not records:
        raise UserError(f"{options.workspace} has no runs: name the folder that the runs were given as --workspace")
    options.output.mkdir(parents=True, exist_ok=True)
    summaries = summarise(records)
    text = write_tables(summaries, records)
    (options.output / "report.md").write_text(text, encoding="utf-8")
    unfinished = [{"run": each.run.title, "state": each.state} for each in records if not each.is_done]
    write_json(options.output / "report.json", {"arms": [asdict(each) for each in summaries], "not_done": unfinished})
    write_runs_csv(options.output / "runs.csv", records)
    write_cases_csv(options.output / "cases.csv", records)
    if summaries:
        draw_picture(options.output / "report.png", summaries)
    print(text)
    return 0
