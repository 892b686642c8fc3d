"""Starts folds of one data set at the same moment, again and again, before its unlabeled scans are preprocessed.

Not part of ``make test``. With the environment's Python, which must have the package installed:

    python tests/integration/four_folds_at_once.py

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
from pathlib import Path

from nnunetv2_dycon.demo.dataset import write_demo_dataset
from nnunetv2_dycon.preprocessing.case_stamp import find_damage, output_files, read_stamp, stamp_file

DATASET = "Dataset501_Folds"
TRAINER = "nnUNetTrainerDyCONOneEpoch"
TRAINER_FILE = f'''
import torch
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON


class {TRAINER}(nnUNetTrainerDyCON):
    def __init__(self, plans: dict, configuration: str, fold: int, dataset_json: dict, device=torch.device("cuda")):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 1, 2, 1

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """Skip it: it comes long after what is tested."""
'''


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10, help="how often the folds are started (default: 10)")
    parser.add_argument("--folds", type=int, default=4, help="how many folds at once, at most 5 (default: 4)")
    parser.add_argument("--unlabeled", type=int, default=40, help="number of unlabeled scans (default: 40)")
    text = "processes that each fold preprocesses with, nnUNet_def_n_proc; several numbers take turns (default: 1 2)"
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2], help=text)
    return parser.parse_args()


def make_dataset(root: Path, unlabeled: int, environment: dict[str, str]) -> None:
    """A planned data set of tiny scans, with a network that fits them."""
    write_demo_dataset(root / "nnUNet_raw" / DATASET, labeled=5, unlabeled=unlabeled, test=1, shape=(20, 28, 24))
    for name in ("nnUNet_preprocessed", "nnUNet_results", "trainers"):
        (root / name).mkdir()
    (root / "trainers" / "one_epoch.py").write_text(TRAINER_FILE)
    command = ["nnUNetv2_plan_and_preprocess", "-d", "501", "-c", "3d_fullres", "-np", "1", "-npfp", "1"]
    planned = subprocess.run(command, env=environment, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert planned.returncode == 0, planned.stdout.decode()
    file = root / "nnUNet_preprocessed" / DATASET / "nnUNetPlans.json"
    plans = json.loads(file.read_text())
    configuration = plans["configurations"]["3d_fullres"]
    configuration.update(patch_size=[16, 16, 16], batch_size=2, dycon={"warmup_fraction": 0.0})
    configuration["architecture"]["arch_kwargs"].update(
        n_stages=2,
        features_per_stage=[4, 8],
        kernel_sizes=[[3] * 3] * 2,
        strides=[[1] * 3, [2] * 3],
        n_conv_per_stage=[1, 1],
        n_conv_per_stage_decoder=[1],
    )
    file.write_text(json.dumps(plans))


def forget_what_was_done(root: Path) -> None:
    """As after planning: no folds, no results, nothing unlabeled preprocessed."""
    preprocessed = root / "nnUNet_preprocessed" / DATASET
    (preprocessed / "splits_final.json").unlink(missing_ok=True)
    for folder in (*preprocessed.glob("*_unlabeled"), *(root / "nnUNet_results").iterdir()):
        shutil.rmtree(folder)


def train_folds(root: Path, folds: int, environment: dict[str, str]) -> list[str]:
    """Train folds at once; returns the output of each, of which the first line is the exit code."""
    command = ["nnUNetv2_train", "501", "3d_fullres"]
    options = ["-tr", TRAINER, "-device", "cpu"]
    logs = [root / f"fold_{fold}.log" for fold in range(folds)]
    processes = []
    for fold, log in enumerate(logs):
        with log.open("w") as stream:
            line = [*command, str(fold), *options]
            processes.append(subprocess.Popen(line, env=environment, stdout=stream, stderr=subprocess.STDOUT))
    return [f"{process.wait()}\n{log.read_text()}" for process, log in zip(processes, logs, strict=True)]


def find_faults(root: Path, outputs: list[str], unlabeled: int) -> list[str]:
    """What does not hold after a run."""
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
        folders = {key: str(root / key) for key in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
        trainers = os.pathsep.join(filter(None, [str(root / "trainers"), os.environ.get("nnUNet_extTrainer")]))
        workers = {"nnUNet_n_proc_DA": "0", "nnUNet_compile": "f", "OMP_NUM_THREADS": "1"}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {**os.environ, **folders, **workers, "nnUNet_extTrainer": trainers, "PATH": path}
        make_dataset(root, arguments.unlabeled, environment)
        for run in range(arguments.runs):
            forget_what_was_done(root)
            processes = arguments.processes[run % len(arguments.processes)]
            start = time.monotonic()
            outputs = train_folds(root, arguments.folds, {**environment, "nnUNet_def_n_proc": str(processes)})
            faults = find_faults(root, outputs, arguments.unlabeled)
            done = [int(n) for output in outputs for n in re.findall(r"Preprocessed (\d+) unlabeled", output)]
            trained = sum(output.startswith("0\n") for output in outputs)
            print(
                f"run {run}: {trained} of {arguments.folds} folds trained, {processes} process(es) each; "
                f"scans preprocessed: {' + '.join(map(str, done))}; {time.monotonic() - start:.0f} s",
                flush=True,
            )
            for fault in faults:
                print(f"  {fault}", flush=True)
            failed += bool(faults)
    print(f"{arguments.runs - failed} of {arguments.runs} runs without a fault")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
