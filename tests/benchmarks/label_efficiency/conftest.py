"""A tiny labeled dataset, and a workspace in which three arms were run on it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from unittest.mock import patch

import pytest

from benchmarks.label_efficiency import __main__, do_run
from benchmarks.label_efficiency.execute_run import execute_run
from benchmarks.label_efficiency.run import Run
from nnunetv2_dycon.demo.dataset import write_demo_dataset

EXAMPLE_METHOD = Path(__file__).parents[3] / "benchmarks" / "label_efficiency" / "example_method.py"
SHORT = ["--epochs", "2", "--steps", "2", "--validation-steps", "1"]
SMALL = ["--patch-size", "16", "24", "16", "--features", "4", "8", "16", "--convolutions", "1", "1", "1"]
SMALL += ["--threads", "1", "--processes", "1"]

Command = Callable[..., int]


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
    with patch.dict(os.environ), patch.object(do_run, "_run_process", run_here):
        options = ["--budgets", "2", "--arms", "nnUNet", "DyCON", "--method", str(EXAMPLE_METHOD), *SHORT, *SMALL]
        assert __main__.main(common_options(source_folder, workspace) + options) == 0
    return workspace


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
