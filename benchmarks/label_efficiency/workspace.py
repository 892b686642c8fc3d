"""The folders of the benchmark, and the variables through which nnU-Net finds them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_RESULTS = "nnUNet_results"


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
