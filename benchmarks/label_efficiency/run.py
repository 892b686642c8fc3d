"""One run: a dataset, a budget, an arm and a seed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.label_efficiency.arms import Arm
from benchmarks.label_efficiency.claims import Claim
from benchmarks.label_efficiency.files import read_json_file, write_whole_json

State = Literal["done", "failed", "claimed", "stale claim", "interrupted", "not started"]


@dataclass(frozen=True)
class Run:
    """A training with its prediction and metrics, in a folder of its own.

    The folder holds ``planned.json`` (that it is wanted), ``run.json`` (what its process is to do), ``log.txt``,
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
    def record_file(self) -> Path:
        """Written last, when everything is there."""
        return self.folder / "record.json"

    @property
    def failure_file(self) -> Path:
        """Written when an attempt fails, removed when the next one starts."""
        return self.folder / "failed.json"

    @property
    def order_file(self) -> Path:
        """What the process of the run reads."""
        return self.folder / "run.json"

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
            return "stale claim" if self.claim.is_stale() else "claimed"
        if self.failure_file.is_file():
            return "failed"
        return "interrupted" if self.order_file.is_file() else "not started"

    def plan(self) -> None:
        """Note that the run is wanted, so that reports name it until it is done."""
        file = self.folder / "planned.json"
        if not file.is_file():
            write_whole_json(file, self._identity())

    def write_order(self, **details: Any) -> None:
        """Write what the process of the run reads.

        Args:
            details: dataset in nnU-Net, preset and device, beside what the run knows of itself.
        """
        write_whole_json(self.order_file, self._identity() | details)

    def _identity(self) -> dict[str, Any]:
        return {"dataset": self.dataset, "budget": self.budget, "arm": asdict(self.arm), "seed": self.seed}


def read_order(folder: Path) -> dict[str, Any]:
    """What :meth:`Run.write_order` wrote.

    Args:
        folder: of the run.
    """
    return read_json_file(folder / "run.json")


def read_plan(folder: Path) -> Run:
    """The run that a folder is for.

    Args:
        folder: of a run, where :meth:`Run.plan` or :meth:`Run.write_order` has been.
    """
    file = folder / "planned.json"
    content = read_json_file(file) if file.is_file() else read_order(folder)
    return Run(folder, content["dataset"], content["budget"], Arm(**content["arm"]), content["seed"])
