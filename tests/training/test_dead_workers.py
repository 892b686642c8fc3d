"""Worker processes that die are noticed, and those of a training that ends are not left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.processes import EXIT_CODE
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON
from nnunetv2_dycon.training.checkpoints import LATEST_CHECKPOINT, STATE_KEY

if TYPE_CHECKING:
    from tests.conftest import SMALL_PLANS, Workspace
else:
    from tests.conftest import SMALL_PLANS

SECONDS_TO_END = 5
# The thread that collects batches raises too when a worker is dead.
pytestmark = pytest.mark.filterwarnings("ignore:Exception in thread:pytest.PytestUnhandledThreadExceptionWarning")


def kill_and_wait(worker: multiprocessing.Process) -> None:
    worker.kill()
    worker.join()


@pytest.fixture
def trainer(make_trainer: Callable[..., nnUNetTrainer], monkeypatch: pytest.MonkeyPatch) -> nnUNetTrainerDyCON:
    """A trainer with a worker process for each of the three loaders, which is in its warm-up to the end."""
    monkeypatch.setenv("nnUNet_n_proc_DA", "1")
    trainer = make_trainer(nnUNetTrainerDyCON, num_epochs=100)
    yield trainer
    assert multiprocessing.active_children() == []


def saved_steps(trainer: nnUNetTrainerDyCON) -> tuple[int, int]:
    checkpoint = torch.load(Path(trainer.output_folder) / LATEST_CHECKPOINT, weights_only=False)
    return checkpoint["current_epoch"], len(checkpoint[STATE_KEY]["unfinished_epoch"]["losses"])


def test_a_dead_worker_of_the_unlabeled_stream_is_noticed_in_the_warm_up(
    trainer: nnUNetTrainerDyCON, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_epoch_end = trainer.on_epoch_end

    def end_epoch() -> None:
        on_epoch_end()
        (worker,) = trainer.unlabeled_stream._workers
        kill_and_wait(worker)

    monkeypatch.setattr(trainer, "on_epoch_end", end_epoch)
    with pytest.raises(UserError, match="A worker process of the unlabeled stream has ended"):
        trainer.run_training()
    assert trainer.current_epoch == 1
    assert saved_steps(trainer) == (1, 0)


def test_steps_before_the_death_of_a_labeled_worker_are_saved(
    trainer: nnUNetTrainerDyCON, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_step = trainer.train_step

    def step_and_kill(batch: dict) -> dict:
        output = train_step(batch)
        if trainer.current_epoch == 1:
            for worker in trainer.dataloader_train._processes:
                kill_and_wait(worker)
        return output

    monkeypatch.setattr(trainer, "train_step", step_and_kill)
    with pytest.raises(RuntimeError, match="background workers are no longer alive"):
        trainer.run_training()
    epoch, steps = saved_steps(trainer)
    assert (epoch, steps) == (trainer.current_epoch, trainer.steps_in_epoch)
    assert 3 * epoch + steps >= 4


def processes_of(session: int) -> list[str]:
    alive = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, its_session = file.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(its_session) == session and state != "Z":
            alive.append(file.parent.name)
    return alive


def is_true_in_time(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@pytest.fixture
def start(workspace: Workspace) -> Callable[..., subprocess.Popen]:
    """Start a command in a session of its own."""
    started = []

    def start(name: str, *arguments: object) -> subprocess.Popen:
        process = subprocess.Popen(
            [Path(sys.executable).with_name(name), *map(str, arguments)],
            env={**workspace.environment, "nnUNet_n_proc_DA": "2"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        for pid in processes_of(process.pid):
            os.kill(int(pid), signal.SIGKILL)
        process.wait()


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")


@needs_proc
def test_a_signal_or_a_kill_leaves_no_process_of_a_training(workspace: Workspace, start: Callable) -> None:
    arguments = (501, "3d_fullres", 0, "-tr", "nnUNetTrainerDyCON", "-p", SMALL_PLANS, "-device", "cpu")
    fold = workspace.results / f"nnUNetTrainerDyCON__{SMALL_PLANS}__3d_fullres" / "fold_0"

    def started_epochs() -> int:
        return sum(file.read_text().count("Current learning rate") for file in fold.glob("training_log*"))

    training = start("nnUNetv2_train", *arguments)
    assert is_true_in_time(lambda: started_epochs() == 1, 300)
    assert len(processes_of(training.pid)) >= 6
    # As a cluster does: to all processes.
    os.killpg(training.pid, signal.SIGUSR1)
    assert training.wait(300) == EXIT_CODE
    assert is_true_in_time(lambda: processes_of(training.pid) == [], SECONDS_TO_END)
    training = start("nnUNetv2_train", *arguments, "--c")
    assert is_true_in_time(lambda: started_epochs() == 2, 300)
    training.kill()
    training.wait()
    assert is_true_in_time(lambda: processes_of(training.pid) == [], SECONDS_TO_END)


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_or_a_kill_leaves_no_process_of_preprocessing(
    workspace: Workspace, start: Callable, number: signal.Signals
) -> None:
    scan = workspace.raw / "imagesUnlabeled" / "demo_006_0000.nii.gz"
    for index in range(300):
        scan.with_name(f"copy_{index:03d}_0000.nii.gz").symlink_to(scan)
    preprocessing = start("nnunetv2_dycon", "preprocess", "-d", 501, "-p", SMALL_PLANS, "-np", 2)

    def stamps() -> int:
        return sum(1 for _ in workspace.preprocessed.glob("*_unlabeled/*/*.json"))

    assert is_true_in_time(lambda: stamps() > 0, 300)
    preprocessing.send_signal(number)
    assert preprocessing.wait(300) == (EXIT_CODE if number == signal.SIGTERM else -number)
    assert is_true_in_time(lambda: processes_of(preprocessing.pid) == [], SECONDS_TO_END)
    assert stamps() < 304
    assert list(workspace.preprocessed.rglob(".partial*")) == []
