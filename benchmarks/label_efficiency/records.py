"""Reading the records of a workspace."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.label_efficiency.files import read_json_file
from benchmarks.label_efficiency.run import Run, State, read_plan
from benchmarks.label_efficiency.workspace import Workspace


@dataclass(frozen=True)
class Record:
    """What became of a run.

    Attributes:
        run: which one.
        state: how far it is.
        content: of record.json; empty unless it is done.
    """

    run: Run
    state: State
    content: dict[str, Any]

    @property
    def is_done(self) -> bool:
        """Whether there are metrics."""
        return bool(self.content)

    @property
    def number_of_labels(self) -> int:
        """Labeled cases of the training; 0 unless it is done."""
        return len(self.content["labeled"]) if self.is_done else 0

    @property
    def metrics(self) -> dict[str, dict[str, dict[str, float | None]]]:
        """Case to class to metric to value; None where it is not defined."""
        return self.content["metrics"]


def read_records(workspace: Workspace) -> list[Record]:
    """All runs that were ever asked for in a workspace, by dataset, number of labels, arm and seed.

    Args:
        workspace: the workspace.
    """
    return [_read(folder) for folder in sorted(workspace.runs.glob("*/*/*/seed_*"), key=_order)]


def _read(folder: Path) -> Record:
    run = read_plan(folder)
    state = run.state()
    return Record(run, state, read_json_file(run.record_file) if state == "done" else {})


def _order(folder: Path) -> tuple[str, float, str, int]:
    budget = folder.parts[-3]
    number = float(budget) if budget.isdecimal() else float("inf")
    return folder.parts[-4], number, folder.parts[-2], int(folder.name.removeprefix("seed_"))
