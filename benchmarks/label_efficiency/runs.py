"""Runs on disk: the workspace, what the folder of a run holds, and the records of those that are done."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.label_efficiency.arms import Arm
from benchmarks.label_efficiency.claims import Claim
from nnunetv2_dycon.exceptions import UserError

# Of what the worker writes.
RECORD_VERSION = 3
State = Literal["done", "failed", "claimed", "interrupted", "not started"]
# Metrics of each class of each case, or None where a metric is not defined.
Metrics = dict[str, dict[str, dict[str, float | None]]]
_RESULTS = "nnUNet_results"


def write_whole_json(file: Path, content: dict[str, Any]) -> None:
    """Write a JSON file that other processes see whole or not at all.

    Args:
        file: where to; its folder is made if it is not there.
        content: finite numbers only, since NaN is not JSON.

    Raises:
        ValueError: for NaN and infinity.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{socket.gethostname()}.{os.getpid()}")
    partial.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    partial.replace(file)


def read_json_file(file: Path) -> dict[str, Any]:
    """The content of a JSON file."""
    return json.loads(file.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Workspace:
    """A folder that holds everything; processes on several machines may share it.

    Attributes:
        root: the folder.
    """

    root: Path

    @property
    def raw(self) -> Path:
        """nnU-Net's raw datasets, one for each dataset and budget."""
        return self.root / "nnUNet_raw"

    @property
    def preprocessed(self) -> Path:
        """nnU-Net's plans and preprocessed data."""
        return self.root / "nnUNet_preprocessed"

    @property
    def runs(self) -> Path:
        """DATASET/BUDGET/ARM/seed_S: a folder for each run."""
        return self.root / "runs"

    def run_folder(self, dataset: str, budget: str, arm: str, seed: int) -> Path:
        """The folder of a run."""
        return self.runs / dataset / budget / arm / f"seed_{seed}"

    def environment(self, results: Path, *, device: str, processes: int, workers: int | None) -> dict[str, str]:
        """This process's environment with nnU-Net's variables set.

        Args:
            results: nnU-Net's results go there.
            device: ``cpu`` or ``cuda``.
            processes: for nnU-Net's preprocessing.
            workers: for data augmentation; None for 1 on a CPU and nnU-Net's own choice on a GPU. With 0, batches are
                made in the training process and a run can be repeated exactly.
        """
        environment = {
            **os.environ,
            "nnUNet_raw": str(self.raw),
            "nnUNet_preprocessed": str(self.preprocessed),
            _RESULTS: str(results),
            "nnUNet_def_n_proc": str(processes),
            "nnUNet_wandb_enabled": "0",
        }
        if workers is None and device == "cpu":
            workers = 1
        if workers is not None:
            environment["nnUNet_n_proc_DA"] = str(workers)
        if device == "cpu":
            environment["nnUNet_compile"] = "f"
        return environment

    def use_here(self) -> None:
        """Point the variables of this process to the workspace."""
        for folder in (self.raw, self.preprocessed):
            folder.mkdir(parents=True, exist_ok=True)
        os.environ["nnUNet_raw"] = str(self.raw)
        os.environ["nnUNet_preprocessed"] = str(self.preprocessed)
        # No name of a dataset is looked for in the results: each run has its own.
        os.environ[_RESULTS] = str(self.root / _RESULTS)


@dataclass(frozen=True)
class Run:
    """A training with its prediction and metrics, in a folder of its own.

    The folder holds ``planned.json`` (that it is wanted), ``run.json`` (what its worker is to do), ``log.txt``,
    ``nnUNet_results``, ``predictions`` and, once it is done, ``record.json``; ``failed.json`` where the last attempt
    failed.

    Attributes:
        folder: of the run.
        dataset: name of the source dataset.
        budget: number of labeled cases, or ``all``.
        arm: what is trained.
        seed: of everything random.
    """

    folder: Path
    dataset: str
    budget: str
    arm: Arm
    seed: int

    @property
    def title(self) -> str:
        """For lists and messages."""
        return f"{self.dataset}, {self.budget} labels, {self.arm.name}, seed {self.seed}"

    @property
    def order_file(self) -> Path:
        """What the worker is to do, written when an attempt starts."""
        return self.folder / "run.json"

    @property
    def record_file(self) -> Path:
        """Written last, when everything is there."""
        return self.folder / "record.json"

    @property
    def failure_file(self) -> Path:
        """Written when an attempt fails, removed when the next one starts."""
        return self.folder / "failed.json"

    @property
    def log_file(self) -> Path:
        """The output of all attempts."""
        return self.folder / "log.txt"

    @property
    def claim(self) -> Claim:
        """The right to work on it."""
        return Claim(self.folder / "claim")

    def state(self) -> State:
        """How far it is."""
        if self.record_file.is_file():
            return "done"
        if self.claim.is_held():
            return "claimed"
        if self.failure_file.is_file():
            return "failed"
        return "interrupted" if self.order_file.is_file() else "not started"

    def plan(self) -> None:
        """Note that the run is wanted, so that reports name it until it is done."""
        file = self.folder / "planned.json"
        if not file.is_file():
            write_whole_json(file, self._identity())

    def write_order(self, **details: Any) -> None:
        """Write what the worker reads.

        Args:
            details: dataset in nnU-Net, preset and device, beside what the run knows of itself.
        """
        write_whole_json(self.order_file, self._identity() | details)

    def _identity(self) -> dict[str, Any]:
        return {"dataset": self.dataset, "budget": self.budget, "arm": asdict(self.arm), "seed": self.seed}


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
    def metrics(self) -> Metrics:
        """Metrics of the test cases, predicted with mirroring."""
        return self.content["metrics"]

    @property
    def metrics_postprocessed(self) -> Metrics:
        """The same of predictions that kept the largest components of structures of one in the labels."""
        return self.content["metrics_postprocessed"]

    def metrics_without_mirroring(self, checkpoint: Literal["final", "three_quarters"]) -> Metrics:
        """Metrics of the test cases, predicted with the final checkpoint or that of three quarters of the training."""
        return self.content["metrics_without_mirroring"][checkpoint]


def read_records(workspace: Workspace) -> list[Record]:
    """All runs that were ever asked for in a workspace, by dataset, number of labels, arm and seed.

    Raises:
        UserError: if a record was written by another version of the benchmark.
    """
    return [_read_record(folder) for folder in sorted(workspace.runs.glob("*/*/*/seed_*"), key=_order)]


def _read_record(folder: Path) -> Record:
    planned = folder / "planned.json"
    identity = read_json_file(planned if planned.is_file() else folder / "run.json")
    run = Run(folder, identity["dataset"], identity["budget"], Arm(**identity["arm"]), identity["seed"])
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
