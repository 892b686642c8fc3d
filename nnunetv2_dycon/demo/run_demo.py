"""The demo: nnU-Net's whole chain with and without unlabeled scans, on generated data."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import torch

from nnunetv2_dycon.demo.picture import draw_picture
from nnunetv2_dycon.demo.report import TrainerResult, choose_cases, compare, describe, write_results_table
from nnunetv2_dycon.demo.scanners import ORGAN, write_scanners_dataset
from nnunetv2_dycon.demo.short_training import DYCON_TRAINER, PLAIN_TRAINER, write_short_trainers, write_small_plans
from nnunetv2_dycon.demo.side_by_side import train_side_by_side
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.nnunet_command import print_heading, run_nnunet_command

DATASET_ID, DATASET, CONFIGURATION, PLANS = "501", "Dataset501_Demo", "3d_fullres", "nnUNetPlansDemo"
# nnU-Net cannot make its five folds of four labeled cases: fold all trains on every one of them.
FOLD = "all"
MARKER = "demo.json"
VALIDATION_STEPS = 2
LABELED, UNLABELED, TEST = 4, 40, 16
TITLES = {PLAIN_TRAINER: "nnU-Net", DYCON_TRAINER: "DyCON"}


def run_demo(
    folder: Path, *, epochs: int, steps: int, seed: int = 0, device: str = "auto", overwrite: bool = False
) -> None:
    """Generate data, plan, preprocess, train plain nnU-Net and DyCON side by side, predict the test scans and evaluate.

    In the end the folder holds ``results.md``, ``results.csv`` and ``demo.png``. The seed is that of both trainings;
    the data are the same for every seed. The device is ``cpu``, ``cuda``, or ``auto`` for a GPU where there is one.

    Raises:
        UserError: if a number is out of range, the folder is in use, or one of nnU-Net's commands fails.
    """
    if epochs < 1 or steps < 1:
        raise UserError(f"--epochs and --steps must be at least 1, and are {epochs} and {steps}")
    if not 0 <= seed < 2**32:
        raise UserError(f"--seed must be at least 0 and below 2**32, and is {seed}")
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("PyTorch finds no CUDA GPU: give -device cpu")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    _prepare_folder(folder, overwrite)
    environment = _environment(folder)
    raw, preprocessed = folder / "nnUNet_raw" / DATASET, folder / "nnUNet_preprocessed" / DATASET

    print_heading("1/5  Generated data set")
    print(
        f"{LABELED} labeled scans of one scanner and of patients who are alike; {UNLABELED} unlabeled and {TEST} test "
        "scans over the whole range of contrast, noise, shading, position and shape"
    )
    write_scanners_dataset(raw, labeled=LABELED, unlabeled=UNLABELED, test=TEST)
    write_short_trainers(folder / "trainers", epochs=epochs, steps=steps, validation_steps=VALIDATION_STEPS, seed=seed)
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "nnUNet_extTrainer"):
        print(f"export {name}={environment[name]}")

    print_heading("2/5  nnU-Net plans and preprocesses")
    processes = environment["nnUNet_def_n_proc"]
    arguments = ("-d", DATASET_ID, "-c", CONFIGURATION, "-npfp", processes, "-np", processes)
    run_nnunet_command("nnUNetv2_plan_and_preprocess", *arguments, environment=environment)
    write_small_plans(preprocessed, CONFIGURATION, PLANS)
    print(f"{PLANS}: nnU-Net's plans with a very small network, for a CPU")

    print_heading(f"3/5  Both train side by side, {epochs * steps} steps each, from seed {seed}")
    seconds = _train(folder, epochs, device, environment)

    print_heading("4/5  Both predict the test scans, and nnU-Net evaluates")
    results = tuple(
        TrainerResult(title, _predict_and_evaluate(folder, trainer, device, environment), seconds[title])
        for trainer, title in TITLES.items()
    )
    plain, dycon = results

    print_heading("5/5  Results on the test scans")
    labels = {"organ": ORGAN}
    print(write_results_table(results, labels, folder))
    difference = compare(plain, dycon)
    cases = choose_cases(difference)
    print(f"\n{describe(difference, plain.title, dycon.title)}")
    picture = folder / "demo.png"
    draw_picture(picture, raw_dataset_folder=raw, results=(plain, dycon), labels=labels, cases=cases)
    shown = " and ".join(f"{case.name} ({case.reason})" for case in cases)
    print(f"\n{picture} shows {shown}, each in the slice in which DyCON is ahead by the most voxels.")


def _prepare_folder(folder: Path, overwrite: bool) -> None:
    """Make the folder; a marker file in it tells that a demo made it and may remove it."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        if not (folder / MARKER).is_file():
            raise UserError(f"{folder} is in use and was not made by the demo: choose another folder with -o")
        if not overwrite:
            raise UserError(f"{folder} holds an earlier demo: choose another folder with -o, or give --overwrite")
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
    # nnU-Net plans with as many threads: 0, which the trainings get, would be an error there.
    environment["nnUNet_n_proc_DA"] = "1"
    # Compiling takes long, and little is gained with so small a network.
    environment.setdefault("nnUNet_compile", "false")
    # A trial run has no place in the user's Weights & Biases project.
    environment["nnUNet_wandb_enabled"] = "0"
    return environment


def _chosen(trainer: str, device: str) -> tuple[str, ...]:
    return ("-tr", trainer, "-p", PLANS, "-device", device)


def _train(folder: Path, epochs: int, device: str, environment: dict[str, str]) -> dict[str, float]:
    """Train both; how many seconds each took, by its title."""
    commands = {
        title: (DATASET_ID, CONFIGURATION, FOLD, *_chosen(trainer, device)) for trainer, title in TITLES.items()
    }
    # Without worker processes the seed decides about all batches, and each training keeps to one core.
    alone = {**environment, "nnUNet_n_proc_DA": "0"}
    return train_side_by_side(commands, epochs=epochs, logs=folder / "logs", environment=alone)


def _predict_and_evaluate(folder: Path, trainer: str, device: str, environment: dict[str, str]) -> Path:
    """Predict the test scans and have nnU-Net evaluate them; the folder of the predictions."""
    raw, predictions = folder / "nnUNet_raw" / DATASET, folder / "predictions" / trainer
    model = folder / "nnUNet_results" / DATASET / f"{trainer}__{PLANS}__{CONFIGURATION}"
    chosen = ("-d", DATASET_ID, "-c", CONFIGURATION, "-f", FOLD, *_chosen(trainer, device))
    files = ("-i", raw / "imagesTs", "-o", predictions)
    # Mirroring at test time takes eight times as long.
    quick = ("--disable_tta", "-npp", "1", "-nps", "1")
    run_nnunet_command("nnUNetv2_predict", *chosen, *files, *quick, environment=environment)
    folders = (raw / "labelsTs", predictions, "-djfile", model / "dataset.json", "-pfile", model / "plans.json")
    run_nnunet_command("nnUNetv2_evaluate_folder", *folders, "-np", "1", environment=environment)
    return predictions
