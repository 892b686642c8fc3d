"""Starts folds of one data set at the same moment, again and again, before its unlabeled scans are preprocessed.

Not part of ``make test``. With the environment's Python, which must have the package installed:

    python -m tests.integration.four_folds_at_once

Every fold has to train to its end, every unlabeled scan has to be ready and whole then, and nothing else may lie
beside. Ends with exit code 1 where something does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.small_plans import shrink

# nnU-Net reads its environment variables when it is imported, so that is done where they are set.
DATASET = "Dataset501_Folds"
TRAINER = "nnUNetTrainerDyCONOneEpoch"
TRAINER_FILE = f'''
import torch
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON


class {TRAINER}(nnUNetTrainerDyCON):
    def __init__(self, plans: dict, configuration: str, fold: int, dataset_json: dict, device=torch.device("cuda")):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 1, 2, 1
        # nnUNetv2_train takes all cores, for each of the folds.
        torch.set_num_threads(1)

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """Skip it: it comes long after what is tested."""
'''


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10, help="how often the folds are started (default: 10)")
    parser.add_argument("--folds", type=int, default=4, help="how many folds at once, at most 5 (default: 4)")
    parser.add_argument("--unlabeled", type=int, default=40, help="number of unlabeled scans (default: 40)")
    text = "processes that each fold preprocesses with, nnUNet_def_n_proc (default: 1)"
    parser.add_argument("--processes", type=int, default=1, help=text)
    text = (
        "fork the folds from one process that has imported nnU-Net, instead of running nnUNetv2_train: they come to "
        "the scans at the very same moment, and a run takes a fraction of the time"
    )
    parser.add_argument("--fork", action="store_true", help=text)
    return parser.parse_args()


def set_environment(root: Path, processes: int) -> None:
    """Set nnU-Net's variables, here and so in what is started."""
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        os.environ[name] = str(root / name)
    trainers = [str(root / "trainers"), os.environ.get("nnUNet_extTrainer")]
    os.environ["nnUNet_extTrainer"] = os.pathsep.join(filter(None, trainers))
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    os.environ.update(nnUNet_n_proc_DA="0", nnUNet_def_n_proc=str(processes), nnUNet_compile="f", OMP_NUM_THREADS="1")


def make_dataset(root: Path, unlabeled: int) -> None:
    """A planned data set of tiny scans, with a network that fits them."""
    from nnunetv2_dycon.demo.dataset import write_demo_dataset

    write_demo_dataset(root / "nnUNet_raw" / DATASET, labeled=5, unlabeled=unlabeled, test=1, shape=(20, 28, 24))
    for name in ("nnUNet_preprocessed", "nnUNet_results", "trainers"):
        (root / name).mkdir()
    (root / "trainers" / "one_epoch.py").write_text(TRAINER_FILE)
    command = ["nnUNetv2_plan_and_preprocess", "-d", "501", "-c", "3d_fullres", "-np", "1", "-npfp", "1"]
    # The planner takes no 0.
    environment = {**os.environ, "nnUNet_n_proc_DA": "1"}
    planned = subprocess.run(command, env=environment, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert planned.returncode == 0, planned.stdout.decode()
    file = root / "nnUNet_preprocessed" / DATASET / "nnUNetPlans.json"
    plans = json.loads(file.read_text())
    configuration = plans["configurations"]["3d_fullres"]
    shrink(configuration, (16, 16, 16))
    configuration["dycon"] = {"warmup_fraction": 0.0}
    file.write_text(json.dumps(plans))


def forget_what_was_done(root: Path) -> None:
    """As after planning: no folds, no results, nothing unlabeled preprocessed."""
    preprocessed = root / "nnUNet_preprocessed" / DATASET
    (preprocessed / "splits_final.json").unlink(missing_ok=True)
    for folder in (*preprocessed.glob("*_unlabeled"), *(root / "nnUNet_results").iterdir()):
        shutil.rmtree(folder)


def train_folds(root: Path, folds: int, fork: bool) -> list[str]:
    """Train folds at once; returns the output of each, of which the first line is the exit code."""
    logs = [root / f"fold_{fold}.log" for fold in range(folds)]
    codes = []
    if fork:
        pids = [fork_training(training_command(fold), log) for fold, log in enumerate(logs)]
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    else:
        processes = []
        for fold, log in enumerate(logs):
            with log.open("w") as stream:
                processes.append(subprocess.Popen(training_command(fold), stdout=stream, stderr=subprocess.STDOUT))
        codes = [process.wait() for process in processes]
    return [f"{code}\n{log.read_text()}" for code, log in zip(codes, logs, strict=True)]


def training_command(fold: int) -> list[str]:
    return ["nnUNetv2_train", "501", "3d_fullres", str(fold), "-tr", TRAINER, "-device", "cpu"]


def fork_training(command: list[str], log: Path) -> int:
    """Run nnUNetv2_train in a fork of this process; returns its number."""
    from nnunetv2.run.run_training import run_training_entry

    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(stream, 1)
            os.dup2(stream, 2)
            sys.argv = command
            run_training_entry()
            code = 0
        except BaseException:  # noqa: BLE001 (it ends here, as the interpreter would)
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return pid


def find_faults(root: Path, outputs: list[str], unlabeled: int) -> list[str]:
    """What does not hold after a run."""
    from nnunetv2_dycon.preprocessing.case_stamp import find_damage, output_files, read_stamp, stamp_file

    faults = []
    for fold, output in enumerate(outputs):
        folder = next((root / "nnUNet_results").glob(f"*/*/fold_{fold}"), None)
        if not output.startswith("0\n"):
            faults.append(f"fold {fold} ended with exit code {output}")
        elif folder is None or not (folder / "checkpoint_final.pth").is_file():
            faults.append(f"fold {fold} left no final checkpoint")
    (place,) = (root / "nnUNet_preprocessed" / DATASET).glob("*_unlabeled/*")
    cases = sorted({file.name.partition("_0000")[0] for file in (root / "nnUNet_raw" / DATASET).glob("imagesUn*/*")})
    assert len(cases) == unlabeled
    faults += [f"{case}: {damage}" for case in cases if (damage := find_damage(place, case, read_stamp(place, case)))]
    expected = {file for case in cases for file in (*output_files(place, case), stamp_file(place, case))}
    faults += [f"{file} was left" for file in {*place.iterdir()} - expected]
    return faults


def main() -> int:
    arguments = read_arguments()
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        set_environment(root, arguments.processes)
        make_dataset(root, arguments.unlabeled)
        for run in range(arguments.runs):
            forget_what_was_done(root)
            start = time.monotonic()
            outputs = train_folds(root, arguments.folds, arguments.fork)
            faults = find_faults(root, outputs, arguments.unlabeled)
            done = [int(n) for output in outputs for n in re.findall(r"Preprocessed (\d+) unlabeled", output)]
            trained = sum(output.startswith("0\n") for output in outputs)
            print(
                f"run {run}: {trained} of {arguments.folds} folds trained; scans preprocessed by those that did any: "
                f"{' + '.join(map(str, done))}; {time.monotonic() - start:.0f} s",
                flush=True,
            )
            for fault in faults:
                print(f"  {fault}", flush=True)
            failed += bool(faults)
    print(f"{arguments.runs - failed} of {arguments.runs} runs without a fault")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
