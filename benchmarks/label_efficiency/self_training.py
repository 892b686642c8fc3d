"""The two trainings of self-training."""

from __future__ import annotations

import copy
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from benchmarks.label_efficiency.files import read_json_file, write_whole_json
from benchmarks.label_efficiency.prediction import predict
from benchmarks.label_efficiency.reduced_plans import CONFIGURATION
from benchmarks.label_efficiency.training import train
from nnunetv2_dycon.datasets.raw_dataset import UNLABELED_FOLDER_NAME
from nnunetv2_dycon.nnunet_command import run_nnunet_command
from nnunetv2_dycon.self_training.pseudo_labeled_dataset import write_pseudo_labeled_dataset

_PREPROCESSED_MARKER = "preprocessed.json"


@dataclass(frozen=True)
class TwoTrainings:
    """What self-training leaves.

    Attributes:
        first: final checkpoint of the training on the labeled cases.
        second: final checkpoint of the training on labels and pseudo-labels.
    """

    first: Path
    second: Path


def train_twice(
    folder: Path,
    trainer_class: type[nnUNetTrainer],
    plans: dict[str, Any],
    dataset_json: dict[str, Any],
    *,
    seed: int,
    device: torch.device,
    bfloat16: bool,
    first_checkpoint: Path | None,
) -> TwoTrainings:
    """Train on the labeled cases, predict the unlabeled ones, train from scratch on both, as long as before.

    Plans and their figures of the intensities stay those of the labeled cases.

    Args:
        folder: of the run; the dataset with pseudo-labels is made in it.
        trainer_class: of both trainings.
        plans: of both trainings.
        dataset_json: the dataset's dataset.json.
        seed: of both trainings.
        device: where.
        bfloat16: of the predictions, see :func:`predict`.
        first_checkpoint: of the same training on the labeled cases where it has been done already.

    Returns:
        The checkpoints.
    """
    if first_checkpoint is None:
        first_checkpoint = train(trainer_class, plans, dataset_json, seed=seed, device=device)
    else:
        print(f"The first training is that of {first_checkpoint}", flush=True)
    source = plans["dataset_name"]
    source_raw = Path(os.environ["nnUNet_raw"]) / source
    source_preprocessed = Path(os.environ["nnUNet_preprocessed"]) / source
    plans = copy.deepcopy(plans)
    plans["dataset_name"] = f"{source}_self_training"
    # nnU-Net's variables point into the run's folder from here on.
    for name in ("nnUNet_raw", "nnUNet_preprocessed"):
        (folder / name).mkdir(exist_ok=True)
        os.environ[name] = str(folder / name)
    preprocessed = folder / "nnUNet_preprocessed" / plans["dataset_name"]
    if not (preprocessed / _PREPROCESSED_MARKER).is_file():
        pseudo_labels = folder / "pseudo_labels"
        images = source_raw / UNLABELED_FOLDER_NAME
        predict(
            trainer_class,
            first_checkpoint,
            plans,
            dataset_json,
            images,
            pseudo_labels,
            device=device,
            bfloat16=bfloat16,
        )
        target_raw = folder / "nnUNet_raw" / plans["dataset_name"]
        # Its labels may be those of an attempt that was interrupted.
        shutil.rmtree(target_raw, ignore_errors=True)
        write_pseudo_labeled_dataset(source_raw, pseudo_labels, target_raw)
        _preprocess(plans, target_raw, source_preprocessed, preprocessed)
    dataset_json = read_json_file(preprocessed / "dataset.json")
    return TwoTrainings(first_checkpoint, train(trainer_class, plans, dataset_json, seed=seed, device=device))


def _preprocess(plans: dict[str, Any], raw: Path, source_preprocessed: Path, preprocessed: Path) -> None:
    preprocessed.mkdir(exist_ok=True)
    write_whole_json(preprocessed / f"{plans['plans_name']}.json", plans)
    shutil.copyfile(raw / "dataset.json", preprocessed / "dataset.json")
    shutil.copyfile(source_preprocessed / "dataset_fingerprint.json", preprocessed / "dataset_fingerprint.json")
    run_nnunet_command(
        "nnUNetv2_preprocess",
        *("-d", raw.name[7:10], "-plans_name", plans["plans_name"], "-c", CONFIGURATION),
        *("-np", os.environ["nnUNet_def_n_proc"]),
        environment=os.environ,
    )
    write_whole_json(preprocessed / _PREPROCESSED_MARKER, {})
