"""nnunetv2_dycon train: nnUNetv2_train as one process and as several of torchrun's, as the page on clusters has it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.commands.main import main
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.processes import Stopped, StopSignals
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON
from nnunetv2_dycon.training.launch import train

if TYPE_CHECKING:
    from tests.conftest import Workspace

PAGE = Path(__file__).resolve().parents[2] / "documentation" / "clusters.md"
SCRIPTS = [block for block in re.findall(r"```bash\n(.*?)```", PAGE.read_text(), re.DOTALL) if block.startswith("#!")]
ARGUMENTS = ("501", "3d_fullres", "0", "-tr")
RESULTS = "nnUNetTrainerDyCONShort__nnUNetPlansSmall__3d_fullres"


def _set_torchrun_variables(monkeypatch: pytest.MonkeyPatch, world_size: int, local_world_size: int) -> None:
    values = {"RANK": 0, "WORLD_SIZE": world_size, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": local_world_size}
    for name, value in {**values, "MASTER_ADDR": "localhost", "MASTER_PORT": 29500}.items():
        monkeypatch.setenv(name, str(value))


@pytest.mark.parametrize(
    ("arguments", "local_world_size", "sentence"),
    [
        (("nnUNetTrainerDyCON", "-num_gpus", "2"), 2, "leave -num_gpus out under torchrun"),
        (("nnUNetTrainerDyCON", "-device", "mps"), 2, "-device mps works in one process only"),
        (("nnUNetTrainerDyCON",), 2, "2 processes on this machine, which has 0 GPUs"),
        (("nnUNetTrainer", "-device", "cpu"), 2, "only on the GPUs of one machine"),
        (("nnUNetTrainerDyCONN", "-device", "cpu"), 2, "nnUNetTrainerDyCONN"),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    local_world_size: int,
    sentence: str,
) -> None:
    _set_torchrun_variables(monkeypatch, 2, local_world_size)
    assert main(["train", *ARGUMENTS, *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("Error: ")
    assert sentence in error


def test_half_of_torchruns_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    _set_torchrun_variables(monkeypatch, 2, 2)
    monkeypatch.delenv("LOCAL_RANK")
    with pytest.raises(UserError, match="but not LOCAL_RANK"):
        train([*ARGUMENTS, "nnUNetTrainerDyCON"])


def _fail(rank: int) -> None:  # noqa: ARG001 (given to every process)
    raise UserError("The disk is full.\nMake room.")


def test_an_error_in_a_process_of_num_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """nnU-Net's own start of processes raises the text of the traceback of the one that failed."""
    monkeypatch.setattr(
        "nnunetv2_dycon.training.launch.run_training_entry", lambda: torch.multiprocessing.spawn(_fail, nprocs=1)
    )
    with pytest.raises(UserError, match=r"^The disk is full.\nMake room.$"):
        train([*ARGUMENTS, "nnUNetTrainerDyCON", "-num_gpus", "2"])


def _wait_for_a_signal(_: int, folder: Path) -> None:
    """What a process of ``-num_gpus`` does: it ends after the step in which a signal has come."""
    with StopSignals() as signals:
        signals.deferred = True
        (folder / f"is_ready_{os.getpid()}").touch()
        deadline = time.monotonic() + 180
        while signals.received is None and time.monotonic() < deadline:
            time.sleep(0.05)
        if signals.received is not None:
            (folder / f"received_{signals.received.name}").touch()


def _wait_for(folder: Path, pattern: str) -> None:
    deadline = time.monotonic() + 180
    while not list(folder.glob(pattern)) and time.monotonic() < deadline:
        time.sleep(0.05)


def test_a_signal_reaches_the_processes_of_num_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        "nnunetv2_dycon.training.launch.run_training_entry",
        lambda: torch.multiprocessing.spawn(_wait_for_a_signal, (tmp_path,), nprocs=1),
    )

    def send() -> None:
        _wait_for(tmp_path, "is_ready_*")
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=send).start()
    with pytest.raises(Stopped), StopSignals():
        train([*ARGUMENTS, "nnUNetTrainerDyCON", "-num_gpus", "2"])
    assert (tmp_path / "received_SIGTERM").is_file()
    (started,) = tmp_path.glob("is_ready_*")
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.name.rpartition("_")[2]), 0)


@pytest.mark.skipif(sys.platform != "linux", reason="PyTorch asks Linux for the signal")
def test_a_process_of_num_gpus_stops_in_order_when_the_one_that_started_it_has_ended(tmp_path: Path) -> None:
    """As nnUNetv2_train -num_gpus does, whose own process ends at once."""
    script = (
        "import sys, pathlib, torch\n"
        "from tests.commands.test_train import _wait_for_a_signal\n"
        "if __name__ == '__main__':\n"
        "    torch.multiprocessing.spawn(_wait_for_a_signal, (pathlib.Path(sys.argv[1]),), nprocs=1)\n"
    )
    (tmp_path / "script.py").write_text(script)
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen([sys.executable, tmp_path / "script.py", tmp_path], env=environment) as process:
        _wait_for(tmp_path, "is_ready_*")
        process.terminate()
    _wait_for(tmp_path, "received_*")
    assert (tmp_path / "received_SIGINT").is_file()


@pytest.mark.parametrize("script", SCRIPTS, ids=["one GPU", "several GPUs"])
def test_scripts_are_shell(script: str) -> None:
    finished = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
    assert (finished.returncode, finished.stderr) == (0, "")


class Cluster:
    """Runs the script for several GPUs with two processes on the CPU, as SLURM would on one node."""

    def __init__(self, workspace: Workspace, folder: Path) -> None:
        folder.mkdir()
        for name, text in {"srun": 'exec "$@"', "scontrol": "echo localhost"}.items():
            (folder / name).write_text(f"#!/bin/bash\n{text}\n")
            (folder / name).chmod(0o755)
        with socket.socket() as probe:
            probe.bind(("", 0))
            # The script's port is made from the number of the job.
            self.job = str(probe.getsockname()[1])
        path = os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])
        slurm = {"SLURM_JOB_ID": self.job, "SLURM_NNODES": "1", "SLURM_GPUS_ON_NODE": "2", "SLURM_JOB_NODELIST": "node"}
        self.environment = {**workspace.environment, **slurm, "PATH": path, "nnUNet_n_proc_DA": "0"}
        self.folder = folder

    @property
    def output(self) -> str:
        """What the last job has printed; a file, which worker processes that outlive a killed one may keep open."""
        return (self.folder / "output").read_text()

    def submit(self, *arguments: str) -> subprocess.Popen[bytes]:
        script = SCRIPTS[1]
        trainer = "-tr nnUNetTrainerDyCON"
        for text in (trainer, "export nnUNet_raw", "export nnUNet_n_proc_DA", "$((20000 + SLURM_JOB_ID % 10000))"):
            assert script.count(text) == 1
        script = re.sub("^export .*\n", "", script, flags=re.MULTILINE)
        script = script.replace("$((20000 + SLURM_JOB_ID % 10000))", "$SLURM_JOB_ID")
        short = " ".join((f"{trainer}Short -p nnUNetPlansSmall -device cpu", *arguments))
        (self.folder / "script").write_text(script.replace(trainer, short))
        with (self.folder / "output").open("w") as output:
            return subprocess.Popen(
                ["bash", self.folder / "script"], env=self.environment, stdout=output, stderr=subprocess.STDOUT
            )

    def processes(self) -> list[tuple[int, int, int]]:
        """Number, number of the parent and rank of all processes that were started for this job by torchrun."""
        found = []
        for folder in Path("/proc").iterdir():
            try:
                environment = (folder / "environ").read_bytes().split(b"\0")
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError):
                continue
            ranks = [entry for entry in environment if entry.startswith(b"RANK=")]
            if ranks and f"SLURM_JOB_ID={self.job}".encode() in environment:
                found.append((int(folder.name), parent, int(ranks[0].partition(b"=")[2])))
        return found

    def trainings(self) -> dict[int, int]:
        """The numbers of the processes that train, by their ranks; their parent is none of them."""
        processes = self.processes()
        numbers = {number for number, *_ in processes}
        return {rank: number for number, parent, rank in processes if parent not in {*numbers, 1}}

    def end(self) -> None:
        """End what is left of a job."""
        for number, *_ in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)


@pytest.fixture
def cluster(workspace: Workspace, tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(workspace, tmp_path / "cluster")
    yield cluster
    cluster.end()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads /proc")
def test_a_job_whose_process_is_killed_and_that_goes_on(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer], cluster: Cluster
) -> None:
    fold = workspace.results / RESULTS / "fold_0"
    with cluster.submit() as job:
        deadline = time.monotonic() + 1800
        while not (fold / "checkpoint_latest.pth").is_file():
            assert job.poll() is None, cluster.output
            assert time.monotonic() < deadline
            time.sleep(0.01)
        trainings = cluster.trainings()
        assert sorted(trainings) == [0, 1]
        os.kill(trainings[1], signal.SIGKILL)
        code = job.wait(timeout=300)
    output = cluster.output
    assert code == 1, output
    assert "rank" in output
    assert "Signal 9 (SIGKILL) received by PID" in output
    assert not {trainings[0], trainings[1]} & {number for number, *_ in cluster.processes()}
    assert "4 labeled and 4 unlabeled training cases, 2 validation cases" in output
    assert output.count("Preprocessed 4 unlabeled cases") == 1

    with cluster.submit("--c") as job:
        code = job.wait(timeout=600)
    output = cluster.output
    assert code == 0, output
    assert "Epoch 1" in output
    assert "Epoch 0" not in output
    assert len(list((fold / "validation").glob("*.nii.gz"))) == 2
    assert (fold / "validation" / "summary.json").is_file()
    assert not (fold / "checkpoint_latest.pth").exists()
    assert len(list(fold.glob("training_log*"))) == 2

    trainer = make_trainer(nnUNetTrainerDyCON)
    trainer.load_checkpoint(str(fold / "checkpoint_final.pth"))
    assert trainer.current_epoch == 2
    stock = make_trainer(nnUNetTrainer)
    stock.initialize()
    checkpoint = torch.load(fold / "checkpoint_final.pth", weights_only=False)
    stock.network.load_state_dict(checkpoint["network_weights"])
