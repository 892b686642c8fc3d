"""A tiny data set in folders of its own, and trainings of it that are forked from a process that has imported nnU-Net.

That saves the time of imports; what then runs is what ``nnUNetv2_train`` runs.
"""

from __future__ import annotations

import json
import math
import os
import select
import shutil
import subprocess
import sys
from pathlib import Path

from nnunetv2_dycon.demo.dataset import write_demo_dataset
from tests.small_plans import shrink

DATASET, PLANS, TRAINER = "Dataset501_Tiny", "nnUNetPlansTiny", "nnUNetTrainerDyCONTiny"
EPOCHS, ITERATIONS = 3, 5

TRAINERS = f"""
import os

import torch
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON


class {TRAINER}(nnUNetTrainerDyCON):
    def __init__(self, plans, configuration, fold, dataset_json, device=torch.device("cuda")):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = {EPOCHS}, {ITERATIONS}, 2
        self.save_every = 1

    def perform_actual_validation(self, save_probabilities=False):
        if os.environ["VALIDATES"] == "1":
            super().perform_actual_validation(save_probabilities)
"""

# Reads a training a line, forks, and answers with process number and, in the end, exit code.
SERVER = """
import json, os, sys
import nnunetv2_dycon.trainers
from nnunetv2.run.run_training import run_training_entry

def serve():
    for line in sys.stdin:
        job = json.loads(line)
        is_ready, get_ready = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.setsid()
            log = os.open(job["log"], os.O_CREAT | os.O_APPEND | os.O_WRONLY)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.write(get_ready, b"1")
            return job
        os.read(is_ready, 1)
        os.close(is_ready)
        os.close(get_ready)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)

job = serve()
if job is not None:
    os.environ["VALIDATES"] = job["validates"]
    sys.argv = ["nnUNetv2_train", *job["arguments"]]
    sys.exit(run_training_entry())
"""


class Workspace:
    """nnU-Net's folders with a tiny data set, planned and preprocessed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        names = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
        for name in (*names, "trainers"):
            (root / name).mkdir()
        registered = [str(root / "trainers"), os.environ.get("nnUNet_extTrainer", "")]
        self.environment = {
            **os.environ,
            **{name: str(root / name) for name in names},
            "nnUNet_extTrainer": os.pathsep.join(filter(None, registered)),
            "nnUNet_n_proc_DA": "2",
            "nnUNet_def_n_proc": "1",
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
        }
        self.preprocessed = root / "nnUNet_preprocessed" / DATASET
        self.server: subprocess.Popen  # -> start_server
        self.fold = root / "nnUNet_results" / DATASET / f"{TRAINER}__{PLANS}__3d_fullres" / "fold_0"

    def make(self) -> None:
        """Generate, plan and preprocess."""
        write_demo_dataset(self.root / "nnUNet_raw" / DATASET, labeled=6, unlabeled=6, test=1, shape=(20, 28, 24))
        (self.root / "trainers" / "tiny_trainer.py").write_text(TRAINERS)
        arguments = ["-d", "501", "-c", "3d_fullres", "-np", "1", "-npfp", "1"]
        subprocess.run([command("nnUNetv2_plan_and_preprocess"), *arguments], env=self.environment, check=True)
        plans = json.loads((self.preprocessed / "nnUNetPlans.json").read_text())
        plans["plans_name"] = PLANS
        configuration = plans["configurations"]["3d_fullres"]
        shrink(configuration, (16, 24, 16))
        # Half of the training is warm-up, so that signals meet both kinds of steps.
        configuration["dycon"] = {"warmup_fraction": 0.5}
        (self.preprocessed / f"{PLANS}.json").write_text(json.dumps(plans))

    def reset(self) -> None:
        """Remove results and preprocessed unlabeled scans: the start of a training is to be hit too."""
        shutil.rmtree(self.root / "nnUNet_results" / DATASET, ignore_errors=True)
        for folder in self.preprocessed.glob("*_unlabeled*"):
            shutil.rmtree(folder)

    def start_server(self) -> None:
        """Start the process that is forked for each training."""
        self.server = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # So that select sees all that has not been read.
            bufsize=0,
        )

    def train(self, log: Path, validates: bool, *options: str) -> Training:
        """Start nnUNetv2_train, with all its processes in a session of their own."""
        arguments = ["501", "3d_fullres", "0", "-tr", TRAINER, "-p", PLANS, "-device", "cpu", *options]
        job = {"log": str(log), "arguments": arguments, "validates": "1" if validates else "0"}
        self.server.stdin.write(json.dumps(job).encode() + b"\n")
        return Training(self.server, int(self.server.stdout.readline()))


class Training:
    """A process of nnUNetv2_train, which leads a session."""

    def __init__(self, server: subprocess.Popen, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._server = server

    def wait(self, seconds: float) -> bool:
        """Whether it ends within this time."""
        if self.returncode is None and select.select([self._server.stdout], [], [], seconds)[0]:
            self.returncode = int(self._server.stdout.readline())
        return self.returncode is not None

    def compute_for(self, seconds: float) -> bool:
        """Wait until it has computed this long; whether it goes on then."""
        while not self.wait(0.01):
            if computed_for(self.pid) >= seconds:
                return not self.wait(0)
        return False


def computed_for(pid: int) -> float:
    """Seconds for which the processor worked on a process, infinite once it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return math.inf
    return math.inf if fields[0] == "Z" else (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def command(name: str) -> str:
    """A command beside this Python."""
    executable = shutil.which(name, path=str(Path(sys.executable).parent))
    if executable is None:
        sys.exit(f"{name} is not installed beside {sys.executable}")
    return executable
