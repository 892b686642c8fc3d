"""A signal in the middle of a prediction: one line, and no process is left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nnunetv2_dycon.processes import EXIT_CODE
from tests.conftest import Workspace
from tests.uncertainty.models import write_model

STOPPED = "Stopped by SIGTERM. Run the same command again, with --continue_prediction."


def processes_of_group(group: int) -> list[str]:
    """Command lines of the living processes of a process group."""
    living = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            # The name of the program, in brackets, may hold blanks.
            state, _, of_group = (process / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(of_group) == group and state != "Z":
                living.append((process / "cmdline").read_text().replace("\0", " "))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return living


@pytest.fixture
def temporary_files() -> Iterator[Path]:
    """A folder with a short path: those of sockets have at most 107 bytes."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="reads /proc")
@pytest.mark.parametrize("to_group", [False, True], ids=["process", "group"])
def test_a_stopped_prediction_says_one_line_and_leaves_no_process(
    workspace: Workspace, tmp_path: Path, temporary_files: Path, to_group: bool
) -> None:
    scans, output = tmp_path / "scans", tmp_path / "output"
    scans.mkdir()
    # So many that the processes which preprocess are far from done.
    for number in range(50):
        shutil.copy(workspace.raw / "imagesTs" / "demo_010_0000.nii.gz", scans / f"demo_{number:03d}_0000.nii.gz")
    model = write_model(workspace, num_folds=1)
    command = [sys.executable, "-m", "nnunetv2_dycon.commands.main", "uncertainty", "-device", "cpu", "-npp", "2"]
    command += ["-i", str(scans), "-o", str(output), "-m", str(model)]
    error_file, environment = tmp_path / "error", {**workspace.environment, "TMPDIR": str(temporary_files)}
    with error_file.open("w") as stream:
        process = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while not list(output.glob("demo_*.nii.gz")):
            assert process.poll() is None, error_file.read_text()
            assert time.monotonic() < deadline, error_file.read_text()
            time.sleep(0.05)
        (os.killpg if to_group else os.kill)(process.pid, signal.SIGTERM)
        assert process.wait(60) == EXIT_CODE
        deadline = time.monotonic() + 10
        while (left := processes_of_group(process.pid)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert left == []
    finally:
        if processes_of_group(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    said = error_file.read_text()
    assert STOPPED in said
    assert "Traceback" not in said
    assert said.rstrip().endswith(STOPPED)
    assert list(temporary_files.iterdir()) == []
