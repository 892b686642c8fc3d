"""A tiny labeled dataset, a workspace in which three arms were run on it, and one with written records."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from unittest.mock import patch

import pytest

from benchmarks import REPOSITORY
from benchmarks.label_efficiency import __main__, scheduler
from benchmarks.label_efficiency.arms import ARMS
from benchmarks.label_efficiency.runs import RECORD_VERSION, Run, Workspace
from benchmarks.label_efficiency.worker import execute_run
from nnunetv2_dycon.demo.dataset import write_demo_dataset

# The first line of a file with a trainer on top of one of the package.
IMPORT_BASE = "from nnunetv2_dycon.trainers import nnUNetTrainerMeanTeacher\n"
EXAMPLE_METHOD = Path(__file__).parents[3] / "benchmarks" / "label_efficiency" / "example_method.py"
SHORT = ["--epochs", "2", "--steps", "2", "--validation-steps", "1"]
SMALL = ["--patch-size", "16", "24", "16", "--features", "4", "8", "16", "--convolutions", "1", "1", "1"]
SMALL += ["--threads", "1", "--processes", "1"]

Command = Callable[..., int]
CURVE = [0.01 * epoch for epoch in range(16)]


@pytest.fixture(scope="session")
def source_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw dataset of nnU-Net with 5 training and 2 test cases, all labeled."""
    folder = tmp_path_factory.mktemp("source") / "Dataset007_Tiny"
    write_demo_dataset(folder, labeled=5, unlabeled=0, test=2, shape=(20, 28, 24))
    return folder


def run_here(run: Run, environment: Mapping[str, str]) -> int:
    """In place of a process, which would have to import nnU-Net."""
    # A process has SIGTERM's default too. nnU-Net's pools end their forked workers by it, and one that inherits a
    # handler written in Python can miss it and wait for ever.
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with patch.dict(os.environ, environment):
            execute_run(run.folder)
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0


@pytest.fixture(scope="session")
def finished_workspace(source_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """nnUNet, DyCON and the example method at 2 labels, seed 0."""
    workspace = tmp_path_factory.mktemp("label_efficiency")
    with patch.dict(os.environ), patch.object(scheduler, "_run_worker", run_here):
        options = ["--budgets", "2", "--arms", "nnUNet", "DyCON", "--method", str(EXAMPLE_METHOD), *SHORT, *SMALL]
        assert __main__.main(common_options(source_folder, workspace) + options) == 0
    return workspace


@pytest.fixture
def copied_workspace(finished_workspace: Path, tmp_path: Path) -> Path:
    """A copy of the finished workspace, for tests that change it."""
    return shutil.copytree(finished_workspace, tmp_path / "workspace", symlinks=True)


def record_of(workspace: Path, arm: str) -> dict:
    """Of the run of an arm at 2 labels, seed 0."""
    return json.loads((workspace / "runs" / "Tiny" / "2" / arm / "seed_0" / "record.json").read_text())


@contextlib.contextmanager
def killed_owner(claim: Path) -> Iterator[subprocess.Popen]:
    """Another process that has a claim, killed at the end of the block."""
    code = "from benchmarks.label_efficiency.claims import *\n"
    code += f"claim = Claim(Path({str(claim)!r}))\nassert claim.take()\nprint('taken', flush=True)\ntime.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    try:
        assert process.stdout.readline() == "taken\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def common_options(source: Path, workspace: Path) -> list[str]:
    """What every run command of the tests has."""
    folders = ["--data", str(source), "--workspace", str(workspace)]
    return ["run", *folders, "--preset", "hippocampus", "--device", "cpu", "--workers", "0"]


@pytest.fixture
def run_command(source_folder: Path) -> Iterator[Command]:
    """The run command on the tiny dataset, with short trainings; nnU-Net's variables are restored afterwards."""

    def command(workspace: Path, *options: str) -> int:
        return __main__.main([*common_options(source_folder, workspace), *SHORT, *SMALL, *options])

    with patch.dict(os.environ):
        yield command


def write_run(workspace: Workspace, budget: str, arm: str, seed: int, dice: dict[str, float] | None) -> Run:
    """A run with a Dice for each case; class b is 0.1 better than class a. Without ``dice``, one that is not done."""
    run = Run(workspace.run_folder("set", budget, arm, seed), "set", budget, ARMS[arm], seed)
    run.plan()
    if dice is None:
        return run
    number = 64 if budget == "all" else int(budget)
    metrics = {
        case: {
            "a": {"dice": value - 0.05, "jaccard": 0.5, "hd95": 4.0, "asd": 1.0},
            "b": {"dice": value + 0.05, "jaccard": 0.5, "hd95": None if case == "c1" else 2.0, "asd": 1.0},
        }
        for case, value in dice.items()
    }
    # What the last quarter of the training brought: 0.02 for both classes of c0, 0.04 for class a of c1.
    unmirrored = {
        checkpoint: {
            "c0": {"a": {"dice": 0.5 + gain}, "b": {"dice": 0.7 + gain}},
            "c1": {"a": {"dice": 0.6 + 2 * gain}},
        }
        for checkpoint, gain in (("three_quarters", 0.0), ("final", 0.02))
    }
    record = {
        "version": RECORD_VERSION,
        "dataset": "set",
        "budget": budget,
        "arm": asdict(ARMS[arm]),
        "seed": seed,
        "labeled": [f"l{index}" for index in range(number)],
        "settings": {},
        "preset": {"epochs": 16, "steps": 5},
        "training_seconds": 120.0,
        "prediction_seconds": 6.0,
        "curves": {"mean_fg_dice": CURVE},
        "metrics": metrics,
        "metrics_postprocessed": {
            case: {name: {"dice": values["dice"] + 0.03} for name, values in by_class.items()}
            for case, by_class in metrics.items()
        },
        "metrics_without_mirroring": unmirrored,
    }
    run.record_file.write_text(json.dumps(record))
    return run


@pytest.fixture
def recorded_workspace(tmp_path: Path) -> Workspace:
    """Written records: nnUNet, DyCON and MeanTeacher, a run that failed and one not started."""
    workspace = Workspace(tmp_path / "workspace")
    for seed, shift in enumerate((-0.01, 0.01)):
        write_run(workspace, "4", "nnUNet", seed, {"c0": 0.60 + shift, "c1": 0.80 + shift})
        write_run(workspace, "4", "DyCON", seed, {"c0": 0.64 + shift, "c1": 0.86 + shift})
    write_run(workspace, "4", "MeanTeacher", 0, {"c0": 0.59, "c1": 0.87})
    write_run(workspace, "16", "nnUNet", 0, {"c0": 0.70, "c1": 0.90})
    write_run(workspace, "all", "nnUNet", 0, {"c0": 0.75, "c1": 0.95})
    write_run(workspace, "16", "MeanTeacher", 1, {"c0": 0.95, "c1": 0.97})
    failed = write_run(workspace, "4", "BCP", 0, None)
    failed.failure_file.write_text(json.dumps({"exit_code": 1, "log": str(failed.log_file)}))
    write_run(workspace, "8", "DyCON", 0, None)
    return workspace
