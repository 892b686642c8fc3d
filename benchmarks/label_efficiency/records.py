"""Reading the records of a workspace."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.label_efficiency.files import read_json_file
from benchmarks.label_efficiency.run import Run, State, read_plan
from benchmarks.label_efficiency.workspace import Workspace
from nnunetv2_dycon.exceptions import UserError

# Of what execute_run writes.
RECORD_VERSION = 2


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

    def metrics_without_mirroring(self, checkpoint: str) -> dict[str, dict[str, dict[str, float | None]]]:
        """The same without mirroring in prediction.

        Args:
            checkpoint: ``final``, or ``three_quarters`` of the training.
        """
        return self.content["metrics_without_mirroring"][checkpoint]


def read_records(workspace: Workspace) -> list[Record]:
    """All runs that were ever asked for in a workspace, by dataset, number of labels, arm and seed.

    Args:
        workspace: the workspace.

    Raises:
        UserError: if a record was written by another version of the benchmark.
    """
    return [_read(folder) for folder in sorted(workspace.runs.glob("*/*/*/seed_*"), key=_order)]


def _read(folder: Path) -> Record:
    run = read_plan(folder)
    state = run.state()
    content = read_json_file(run.record_file) if state == "done" else {}
    if content and content["version"] != RECORD_VERSION:
        raise UserError(
            f"{run.record_file} has the version {content['version']} of another version of the benchmark, which writes "
            f"{RECORD_VERSION}: remove {run.folder} and do the run again"
        )
    return Record(run, state, content)


def _order(folder: Path) -> tuple[str, float, str, int]:
    budget = folder.parts[-3]
    number = float(budget) if budget.isdecimal() else float("inf")
    return folder.parts[-4], number, folder.parts[-2], int(folder.name.removeprefix("seed_"))
