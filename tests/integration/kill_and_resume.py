"""Kill trainings at random moments, go on with --c, and check that nothing was lost.

Short trainings on a tiny generated data set are hit by SIGKILL, and others by SIGTERM or SIGUSR1, until one ends by
itself; each is continued with ``nnUNetv2_train ... --c``. Checked are: exit codes, that every checkpoint can be read at
any time, that the final one has as many steps and updates of the moving average as epochs times iterations, that no
partial file stays, and that no process is left five seconds later.

    python -m tests.integration.kill_and_resume --kills 50 --stops 20 --output table.md

Some trainings end with nnU-Net's validation. Moments are drawn by the time that a training has computed for, so that
they are as random on a busy machine. pytest does not collect this file.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from nnunetv2_dycon.processes import EXIT_CODE
from nnunetv2_dycon.training.checkpoints import STATE_KEY
from nnunetv2_dycon.training.unlabeled_stream import nnUNetUnlabeledDataset
from tests.integration.forked_trainings import EPOCHS, ITERATIONS, Training, Workspace, computed_for

CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_latest.pth", "checkpoint_best.pth")
SECONDS_TO_END = 5.0
LONGEST_TRAINING = 1800.0  # seconds, on a machine that is busy with other things
SHARE_WITH_VALIDATION = 0.2


@dataclass
class Record:
    """One training: the signals that hit it, and what was wrong."""

    hits: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


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


def logs_of(workspace: Workspace) -> set[Path]:
    """The logs of all trainings in the folder."""
    return set(workspace.fold.glob("training_log*"))


def moment(workspace: Workspace, earlier: set[Path]) -> str:
    """Where a training is, whose log is none of the earlier ones."""
    text = "".join(log.read_text(errors="replace") for log in logs_of(workspace) - earlier)
    signs = (
        ("Mean Validation Dice", "end"),
        ("predicting", "validation"),
        ("Training done", "end"),
        ("Epoch", f"epoch {text.count('Current learning rate')}"),
    )
    return next((name for sign, name in signs if sign in text), "start")


def run_training(
    workspace: Workspace, kind: str, draw: random.Random, durations: dict[bool, float], log: Path
) -> Record:
    """One training that is hit once or twice at random moments, continued, and checked."""
    record, options, hits = Record(), [], draw.choice([1, 1, 2])
    validates = draw.random() < SHARE_WITH_VALIDATION
    workspace.reset()
    while True:
        earlier = logs_of(workspace)
        training = workspace.train(log, validates, *options)
        moment_of_hit = draw.uniform(0, 1) * durations[validates]
        is_hit = len(record.hits) < hits and training.compute_for(moment_of_hit)
        if is_hit:
            hit(training, kind, moment(workspace, earlier), draw, record)
        if not training.wait(LONGEST_TRAINING):
            record.problems.append("did not end")
            os.killpg(training.pid, signal.SIGKILL)
            training.wait(LONGEST_TRAINING)
            return record
        check_processes(training.pid, record)
        read_checkpoints(workspace, record)
        expected = {0, -signal.SIGKILL if kind == "SIGKILL" else EXIT_CODE} if is_hit else {0}
        if is_hit and kind != "SIGKILL" and moment(workspace, earlier) in ("start", "end"):
            # Handlers are set when the training starts and gone when it has ended, while Python shuts down. That may
            # have been between a look at the log and the signal.
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
