"""Steps of the integration recipe: each is a command line or a check, timed, logged and listed in a table."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

NNUNET_FOLDERS = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
TIMEOUT_SECONDS = 3600
_TIMED_OUT = 124

# Short trainings: two epochs, so that something is carried from one to the next.
_TRAINERS = """
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2_dycon import trainers


def short(base, name):
    class Trainer(base):
        def __init__(self, plans, configuration, fold, dataset_json, device=torch.device("cuda")):
            super().__init__(plans, configuration, fold, dataset_json, device)
            self.num_epochs = 2
            self.num_iterations_per_epoch = {steps}
            self.num_val_iterations_per_epoch = 1

    Trainer.__name__ = Trainer.__qualname__ = name
    return Trainer


nnUNetTrainerRecipe = short(nnUNetTrainer, "nnUNetTrainerRecipe")
{trainer}Recipe = short(trainers.{trainer}, "{trainer}Recipe")
"""


@dataclass
class Runner:
    """Runs steps in a work folder, which becomes nnU-Net's, and remembers how each ended.

    Attributes:
        work: nnU-Net's folders, predictions, logs of all steps and the table.
        device: ``cpu``, ``cuda`` or ``mps``, for trainings and predictions.
        trainer: the short trainer, by name.
        rows: data set, step, exit status and seconds of each step; the status is as expected where it is 0.
    """

    work: Path
    device: str
    trainer: str
    rows: list[tuple[str, str, int, float]] = field(default_factory=list)

    @classmethod
    def in_new_folder(cls, work: Path, *, device: str, trainer: str, steps: int) -> Runner:
        """Make the work folder with short trainers; a ``SystemExit`` where it has files in it."""
        if work.exists() and any(work.iterdir()):
            raise SystemExit(f"{work} is not empty: choose another folder with --work, or remove it")
        for name in (*NNUNET_FOLDERS, "trainers", "logs", "predictions"):
            (work / name).mkdir(parents=True)
        (work / "trainers" / "recipe_trainers.py").write_text(_TRAINERS.format(steps=steps, trainer=trainer))
        return cls(work, device, f"{trainer}Recipe")

    @property
    def raw(self) -> Path:
        """``nnUNet_raw``."""
        return self.work / "nnUNet_raw"

    @property
    def preprocessed(self) -> Path:
        """``nnUNet_preprocessed``."""
        return self.work / "nnUNet_preprocessed"

    @property
    def results(self) -> Path:
        """``nnUNet_results``."""
        return self.work / "nnUNet_results"

    @property
    def environment(self) -> dict[str, str]:
        """This process's environment with nnU-Net's folders in the work folder, and few processes."""
        trainers = [str(self.work / "trainers"), os.environ.get("nnUNet_extTrainer", "")]
        return {
            **os.environ,
            **{name: str(self.work / name) for name in NNUNET_FOLDERS},
            "nnUNet_extTrainer": os.pathsep.join(filter(None, trainers)),
            "nnUNet_def_n_proc": os.environ.get("nnUNet_def_n_proc", "1"),
            "nnUNet_n_proc_DA": os.environ.get("nnUNet_n_proc_DA", "1"),
            "nnUNet_compile": os.environ.get("nnUNet_compile", "f"),
            "nnUNet_wandb_enabled": "0",
        }

    def run(
        self,
        dataset: str,
        step: str,
        command: str,
        *arguments: object,
        refused_with: str | None = None,
        **environment: str,
    ) -> None:
        """Run a command that is installed beside this Python, with its output in ``logs``.

        Args:
            dataset: for the table.
            step: for the table.
            command: such as ``nnUNetv2_train``.
            arguments: of the command.
            refused_with: what the last line, an error in one sentence, must hold; None for a command that must succeed.
            environment: further variables.
        """
        log = self.work / "logs" / f"{len(self.rows):03d}_{dataset}_{step.replace(' ', '_').replace('/', '_')}.log"
        executable = shutil.which(command, path=str(Path(sys.executable).parent)) or command
        line = [executable, *map(str, arguments)]
        started = time.monotonic()
        with log.open("w") as output:
            output.write(f"$ {shlex.join(line)}\n")
            output.flush()
            try:
                status = subprocess.run(
                    line,
                    env=self.environment | environment,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    stdin=subprocess.DEVNULL,
                    timeout=TIMEOUT_SECONDS,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                status = _TIMED_OUT
        text = log.read_text(errors="replace")
        if refused_with is not None:
            last = text.rstrip().splitlines()[-1]
            refused = status in (1, 2) and "Traceback" not in text and refused_with in last
            status = 0 if refused else status or 1
        self._add_row(dataset, step, status, time.monotonic() - started)
        if status != 0:
            print("\n".join(["", *text.rstrip().splitlines()[-8:], f"see {log}", ""]), flush=True)

    def check(self, dataset: str, step: str, check: Callable[[], None]) -> None:
        """Run a check, which raises an AssertionError or OSError where it fails."""
        started = time.monotonic()
        try:
            check()
            status, why = 0, ""
        except (AssertionError, OSError, KeyError) as error:
            status, why = 1, f"{type(error).__name__}: {error}"
        self._add_row(dataset, step, status, time.monotonic() - started)
        if why:
            print(f"\n{why}\n", flush=True)

    def _add_row(self, dataset: str, step: str, status: int, seconds: float) -> None:
        self.rows.append((dataset, step, status, seconds))
        print(f"{dataset:>24}  {step:<46}{status:>4}{seconds:9.1f} s", flush=True)

    def write_table(self) -> Path:
        """Write ``recipe.md``: a row for each step, and what it all took."""
        lines = ["| data set | step | exit status | seconds |", "|---|---|---|---|"]
        lines += [f"| {dataset} | {step} | {status} | {seconds:.1f} |" for dataset, step, status, seconds in self.rows]
        failed = sum(status != 0 for _, _, status, _ in self.rows)
        seconds = sum(seconds for _, _, _, seconds in self.rows)
        lines += ["", f"{len(self.rows)} steps, {failed} of them failed, {seconds / 60:.1f} minutes."]
        file = self.work / "recipe.md"
        file.write_text("\n".join(lines) + "\n")
        return file
