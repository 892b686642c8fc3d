"""The demo: nnU-Net's whole chain with and without unlabeled scans, on generated data."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import torch

from nnunetv2_dycon.demo.dataset import LESION, ORGAN, write_demo_dataset
from nnunetv2_dycon.demo.report import TrainerResult, draw_picture, write_results_table
from nnunetv2_dycon.demo.short_training import DYCON_TRAINER, PLAIN_TRAINER, write_short_trainers, write_small_plans
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.nnunet_command import print_heading, run_nnunet_command

DATASET_ID, DATASET, CONFIGURATION, PLANS = "501", "Dataset501_Demo", "3d_fullres", "nnUNetPlansDemo"
# nnU-Net cannot make its five folds of four labeled cases: fold all trains on every one of them.
FOLD = "all"
MARKER = "demo.json"
VALIDATION_STEPS = 4
CASES_IN_PICTURE = 2


def run_demo(folder: Path, *, epochs: int, steps: int, device: str = "auto", overwrite: bool = False) -> None:
    """Generate data, plan, preprocess, train plain nnU-Net and DyCON, predict the test scans and evaluate.

    In the end the folder holds ``results.md``, ``results.csv`` and ``demo.png``. The device is ``cpu``, ``cuda``, or
    ``auto`` for a GPU where there is one.

    Raises:
        UserError: if a number is out of range, the folder is in use, or one of nnU-Net's commands fails.
    """
    if epochs < 1 or steps < 1:
        raise UserError(f"--epochs and --steps must be at least 1, and are {epochs} and {steps}")
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("PyTorch finds no CUDA GPU: give --device cpu")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    _prepare_folder(folder, overwrite)
    environment = _environment(folder)
    raw, preprocessed = folder / "nnUNet_raw" / DATASET, folder / "nnUNet_preprocessed" / DATASET

    print_heading("1/6  Generated data set: 4 labeled, 12 unlabeled and 4 test scans")
    write_demo_dataset(raw)
    write_short_trainers(folder / "trainers", epochs=epochs, steps=steps, validation_steps=VALIDATION_STEPS)
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "nnUNet_extTrainer"):
        print(f"export {name}={environment[name]}")

    print_heading("2/6  nnU-Net plans and preprocesses")
    processes = environment["nnUNet_def_n_proc"]
    arguments = ("-d", DATASET_ID, "-c", CONFIGURATION, "-npfp", processes, "-np", processes)
    run_nnunet_command("nnUNetv2_plan_and_preprocess", *arguments, environment=environment)
    write_small_plans(preprocessed, CONFIGURATION, PLANS)
    print(f"{PLANS}: nnU-Net's plans with a smaller network, for a CPU")

    results = []
    trainers = ((PLAIN_TRAINER, "nnU-Net"), (DYCON_TRAINER, "DyCON"))
    for number, (trainer, title) in enumerate(trainers, start=3):
        print_heading(f"{number}/6  {title}: train, predict the test scans, evaluate")
        results.append(_train_and_evaluate(folder, trainer, title, device, environment))

    print_heading("5/6  Table")
    labels = {"organ": ORGAN, "lesion": LESION}
    print(write_results_table(results, labels, folder))

    print_heading("6/6  Picture")
    cases = sorted(file.name.removesuffix(".nii.gz") for file in (raw / "labelsTs").iterdir())[:CASES_IN_PICTURE]
    picture, images, ground_truth = folder / "demo.png", raw / "imagesTs", raw / "labelsTs"
    draw_picture(picture, images=images, ground_truth=ground_truth, results=results, labels=labels, cases=cases)
    print(picture)


def _prepare_folder(folder: Path, overwrite: bool) -> None:
    """Make the folder; a marker file in it tells that a demo made it and may remove it."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        if not (folder / MARKER).is_file():
            raise UserError(f"{folder} is in use and was not made by the demo: choose another folder with --output")
        if not overwrite:
            raise UserError(f"{folder} holds an earlier demo: choose another folder with --output, or give --overwrite")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).write_text("{}\n", encoding="utf-8")


def _environment(folder: Path) -> dict[str, str]:
    """This process's environment with nnU-Net's folders in the demo's; settings of the user's own stay."""
    environment = dict(os.environ)
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        (folder / name).mkdir()
        environment[name] = str((folder / name).resolve())
    external = [str((folder / "trainers").resolve()), environment.get("nnUNet_extTrainer", "")]
    environment["nnUNet_extTrainer"] = os.pathsep.join(filter(None, external))
    cores = os.cpu_count() or 1
    environment.setdefault("nnUNet_def_n_proc", str(min(4, cores)))
    environment.setdefault("nnUNet_n_proc_DA", str(max(1, min(6, cores // 2))))
    # Compiling the network takes longer than the demo's few steps.
    environment.setdefault("nnUNet_compile", "false")
    # A trial run has no place in the user's Weights & Biases project.
    environment["nnUNet_wandb_enabled"] = "0"
    return environment


def _train_and_evaluate(
    folder: Path, trainer: str, title: str, device: str, environment: dict[str, str]
) -> TrainerResult:
    raw, predictions = folder / "nnUNet_raw" / DATASET, folder / "predictions" / trainer
    model = folder / "nnUNet_results" / DATASET / f"{trainer}__{PLANS}__{CONFIGURATION}"
    chosen = ("-tr", trainer, "-p", PLANS, "-device", device)
    started = time.monotonic()
    run_nnunet_command("nnUNetv2_train", DATASET_ID, CONFIGURATION, FOLD, *chosen, environment=environment)
    seconds = time.monotonic() - started
    files = ("-i", raw / "imagesTs", "-o", predictions, "--save_probabilities")
    # Mirroring at test time takes eight times as long on a CPU.
    quick = ("--disable_tta", "-npp", "1", "-nps", "1")
    arguments = ("-d", DATASET_ID, "-c", CONFIGURATION, "-f", FOLD, *chosen, *files, *quick)
    run_nnunet_command("nnUNetv2_predict", *arguments, environment=environment)
    folders = (raw / "labelsTs", predictions, "-djfile", model / "dataset.json", "-pfile", model / "plans.json")
    run_nnunet_command("nnUNetv2_evaluate_folder", *folders, "-np", "2", environment=environment)
    return TrainerResult(title, predictions, seconds)
