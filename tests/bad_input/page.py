"""The page documentation/bad_input.md, made of the rows that are tested.

``python -m tests.bad_input.page`` writes it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

from tests.bad_input import (
    annotation,
    arguments,
    configurations,
    conversion,
    environment,
    folds,
    methods,
    other_json,
    plans,
    predictions,
    preprocessed_cases,
    scans,
    settings,
)
from tests.bad_input.row import Row

PAGE = Path(__file__).resolve().parents[2] / "documentation" / "bad_input.md"
SECTIONS = {
    "Folds": folds.ROWS,
    "Plans": [*plans.ROWS, *configurations.ROWS],
    "dataset.json and other JSON files": other_json.ROWS,
    "Settings": settings.ROWS,
    "Scans and preprocessed cases": [*scans.ROWS, *preprocessed_cases.ROWS],
    "Folders and variables": environment.ROWS,
    "Arguments": arguments.ROWS,
    "Files of published data sets": conversion.ROWS,
    "Scans to predict with their uncertainty": predictions.ROWS,
    "Scans to annotate, and labels that come back": annotation.ROWS,
    "A method of one's own": methods.ROWS,
}
REFUSED: list[Row] = list(itertools.chain(*SECTIONS.values()))
ACCEPTED: list[Row] = [*folds.ACCEPTED, *scans.ACCEPTED, *environment.ACCEPTED]
INTRODUCTION = """\
# Bad input

What is refused, by which command, and what it says. Every row is tested through these command lines. Each ends with
exit code 1 (2 for wrong usage) and a message without a traceback; `nnUNetv2_train` ends before the first epoch.
In messages, `...` stands for what is left out, mostly the folder of a file.

`nnunetv2_dycon doctor -d 501` finds what is wrong with a data set without training.

nnU-Net itself reads the fold (a number or `all`) and `-device` before it looks a trainer up. Its message on these comes
with a traceback, as does Python's on a file of trainers that it cannot read. nnU-Net counts hidden files
(`._CASE_0000.nii.gz`, as macOS leaves them) as scans: remove them before `nnUNetv2_plan_and_preprocess` and
`nnUNetv2_predict`. This package skips them.

<!-- The tables are made by: python -m tests.bad_input.page -->
"""


def render() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for title, rows in SECTIONS.items():
        parts.append(f"\n## {title}\n\n{_table(rows)}")
    parts.append(f"\n## What is accepted\n\n{_table(ACCEPTED)}")
    return "".join(parts)


def _table(rows: Iterable[Row]) -> str:
    lines = ["| what is wrong | caught by | message |", "|---|---|---|"]
    for row in rows:
        commands = ", ".join(f"`{name}`" for name in row.names())
        message = row.message.replace("|", "\\|")
        lines.append(f"| {row.what} | {commands} | {message} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(render())
