"""Kill trainings at random moments, go on with --c, and check that nothing was lost.

Short trainings on a tiny generated data set are hit by SIGKILL, and others by SIGTERM or SIGUSR1, until one ends by
itself; each is continued with ``nnUNetv2_train ... --c``. Checked are: exit codes, that every checkpoint can be read at
any time, that the final one has as many steps and updates of the moving average as epochs times iterations, that no
partial file stays, and that no process is left five seconds later.

    python tests/integration/kill_and_resume.py --kills 50 --stops 20 --output table.md

To save the time of imports, one process imports nnU-Net and is forked for each training; what then runs is what
``nnUNetv2_train`` runs. Some trainings end with nnU-Net's validation. Moments are drawn by the time that a training has
computed for, so that they are as random on a busy machine. pytest does not collect this file.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from nnunetv2_dycon.demo.dataset import write_demo_dataset
from nnunetv2_dycon.processes import EXIT_CODE
from nnunetv2_dycon.training.checkpoints import STATE_KEY
from nnunetv2_dycon.training.unlabeled_stream import nnUNetUnlabeledDataset

DATASET, PLANS, TRAINER = "Dataset501_Tiny", "nnUNetPlansTiny", "nnUNetTrainerDyCONTiny"
EPOCHS, ITERATIONS = 3, 5
CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_latest.pth", "checkpoint_best.pth")
SECONDS_TO_END = 5.0
LONGEST_TRAINING = 1800.0  # seconds, on a machine that is busy with other things
SHARE_WITH_VALIDATION = 0.2

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


@dataclass
class Record:
    """One training: the signals that hit it, and what was wrong."""

    hits: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


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
        # Half of the training is warm-up, so that signals meet both kinds of steps.
        configuration.update(patch_size=[16, 24, 16], batch_size=2, dycon={"warmup_fraction": 0.5})
        configuration["architecture"]["arch_kwargs"].update(
            n_stages=3,
            features_per_stage=[4, 8, 16],
            kernel_sizes=[[3] * 3] * 3,
            strides=[[1] * 3, [2] * 3, [2] * 3],
            n_conv_per_stage=[1, 1, 1],
            n_conv_per_stage_decoder=[1, 1],
        )
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


def processes_of(session: int) -> list[str]:
    """The processes of a session that are alive: number and command line."""
    alive = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, its_session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(its_session) == session and state != "Z":
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                alive.append(f"{folder.name} {line[:60]}")
        except (OSError, ValueError):
            continue  # it has ended meanwhile
    return alive


def check_processes(session: int, record: Record) -> None:
    """Wait five seconds for all to end."""
    deadline = time.monotonic() + SECONDS_TO_END
    while (alive := processes_of(session)) and time.monotonic() < deadline:
        time.sleep(0.1)
    if alive:
        record.problems.append(f"left behind: {'; '.join(alive)}")
        os.killpg(session, signal.SIGKILL)


def read_checkpoints(workspace: Workspace, record: Record) -> dict[str, dict]:
    """All checkpoints that are there; a checkpoint may be replaced or removed while it is looked at."""
    found = {}
    for name in CHECKPOINTS:
        try:
            with (workspace.fold / name).open("rb") as stream:
                found[name] = torch.load(stream, map_location="cpu", weights_only=False)
        except FileNotFoundError:
            continue
        except Exception as error:  # noqa: BLE001 (whatever it is, it is what this script looks for)
            record.problems.append(f"{name} cannot be read: {error}")
    return found


def moment(workspace: Workspace) -> str:
    """Where a training is, for the table."""
    logs = sorted(workspace.fold.glob("training_log*"), key=lambda file: file.stat().st_mtime)
    text = logs[-1].read_text(errors="replace") if logs else ""
    for sign, name in (("predicting", "validation"), ("Training done", "end"), ("Epoch", "epoch")):
        if sign in text:
            return f"epoch {text.count('Current learning rate')}" if name == "epoch" else name
    return "start"


def run_training(
    workspace: Workspace, kind: str, draw: random.Random, durations: dict[bool, float], log: Path
) -> Record:
    """One training that is hit once or twice at random moments, continued, and checked."""
    record, options, hits = Record(), [], draw.choice([1, 1, 2])
    validates = draw.random() < SHARE_WITH_VALIDATION
    workspace.reset()
    while True:
        training = workspace.train(log, validates, *options)
        moment_of_hit = draw.uniform(0, 1) * durations[validates]
        is_hit = len(record.hits) < hits and training.compute_for(moment_of_hit)
        if is_hit:
            hit(training, kind, moment(workspace), draw, record)
        if not training.wait(LONGEST_TRAINING):
            record.problems.append("did not end")
            os.killpg(training.pid, signal.SIGKILL)
            training.wait(LONGEST_TRAINING)
            return record
        check_processes(training.pid, record)
        read_checkpoints(workspace, record)
        expected = {0, -signal.SIGKILL if kind == "SIGKILL" else EXIT_CODE} if is_hit else {0}
        if is_hit and kind != "SIGKILL" and record.hits[-1].endswith(("start", "end")):
            # Handlers are set when the training starts and gone when it has ended, while Python shuts down.
            expected |= {-signal.SIGTERM, -signal.SIGUSR1}
        if training.returncode not in expected:
            record.problems.append(f"exit code {training.returncode}")
        if training.returncode == 0 or not is_hit:
            check_result(workspace, record, validates)
            return record
        options = ["--c"]


def hit(training: Training, kind: str, at: str, draw: random.Random, record: Record) -> None:
    """Send a signal, to the training alone or, as clusters do, to all its processes."""
    number = signal.SIGKILL if kind == "SIGKILL" else draw.choice([signal.SIGTERM, signal.SIGUSR1])
    to_all = kind != "SIGKILL" and draw.random() < 0.5
    record.hits.append(f"{number.name}{' to all' if to_all else ''} in {at}")
    try:
        (os.killpg if to_all else os.kill)(training.pid, number)
    except ProcessLookupError:
        record.hits[-1] += " (too late)"


def check_result(workspace: Workspace, record: Record, validates: bool) -> None:
    """Check what a training that has ended left."""
    final = read_checkpoints(workspace, record).get("checkpoint_final.pth")
    if final is None:
        record.problems.append("no checkpoint_final.pth")
        return
    log, state = final["logging"], final[STATE_KEY]
    if final["current_epoch"] != EPOCHS or any(len(values) != EPOCHS for values in log.values()):
        record.problems.append(f"{final['current_epoch']} epochs, values { ({k: len(v) for k, v in log.items()}) }")
    if (updates := int(state["teacher"]["n_averaged"])) != EPOCHS * ITERATIONS:
        record.problems.append(f"{updates} updates of the moving average")
    if not all(math.isfinite(loss) for loss in log["train_losses"]):
        record.problems.append("losses that are not finite")
    if validates and not (workspace.fold / "validation" / "summary.json").is_file():
        record.problems.append("no summary of the validation")
    if partial := [str(file) for file in workspace.root.rglob(".partial*")]:
        record.problems.append(f"partial files: {', '.join(partial)}")
    if len(nnUNetUnlabeledDataset.get_identifiers(str(next(workspace.preprocessed.glob("*_unlabeled/*"))))) != 6:
        record.problems.append("unlabeled cases are missing")


def main() -> None:
    """Run all trainings and write the table after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="trainings with SIGKILL (default: 50)")
    parser.add_argument("--stops", type=int, default=20, help="trainings with SIGTERM or SIGUSR1 (default: 20)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (default: 0)")
    parser.add_argument("--output", type=Path, default=Path("kill_and_resume.md"), help="file for the table")
    arguments = parser.parse_args()
    draw = random.Random(arguments.seed)
    kinds = ["SIGKILL"] * arguments.kills + ["SIGTERM, SIGUSR1"] * arguments.stops
    draw.shuffle(kinds)
    records: list[tuple[str, Record]] = []
    with tempfile.TemporaryDirectory(prefix="kill_and_resume_") as folder:
        workspace, log = Workspace(Path(folder)), Path(folder) / "output.txt"
        workspace.make()
        workspace.start_server()
        durations = {validates: measure(workspace, validates, log) for validates in (False, True)}
        for kind in kinds:
            records.append((kind, run_training(workspace, kind, draw, durations, log)))
            write_table(records, arguments.output, durations)
            shutil.copyfile(log, arguments.output.with_suffix(".log"))
        workspace.server.stdin.close()
    print(arguments.output.read_text())
    sys.exit(any(record.problems for _, record in records))


def measure(workspace: Workspace, validates: bool, log: Path) -> float:
    """For how many seconds a training that nothing hits computes; ends this script if anything is wrong with it."""
    workspace.reset()
    training, duration = workspace.train(log, validates), 0.0
    while not training.wait(0.1):
        now = computed_for(training.pid)
        duration = duration if now == math.inf else now
    record = Record()
    check_processes(training.pid, record)
    check_result(workspace, record, validates)
    if record.problems or training.returncode != 0:
        sys.exit(f"{log.read_text()}\nwithout any signal: {record.problems}, exit code {training.returncode}")
    return duration


def write_table(records: list[tuple[str, Record]], file: Path, durations: dict[bool, float]) -> None:
    """A line for each training, and sums."""
    lines = [
        f"A training that nothing hits computes for {durations[False]:.1f} s, {durations[True]:.1f} s with validation.",
        "",
        "| | trainings | signals | with a problem |",
    ]
    lines.append("|---|---|---|---|")
    for kind in sorted({kind for kind, _ in records}):
        own = [record for its_kind, record in records if its_kind == kind]
        signals, bad = sum(len(record.hits) for record in own), sum(bool(record.problems) for record in own)
        lines.append(f"| {kind} | {len(own)} | {signals} | {bad} |")
    lines += ["", "| training | signals | problems |", "|---|---|---|"]
    for number, (_, record) in enumerate(records):
        lines.append(f"| {number} | {', '.join(record.hits)} | {'; '.join(record.problems)} |")
    file.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
