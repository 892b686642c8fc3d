"""Training one network, from the start or from the last checkpoint."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from benchmarks.label_efficiency.reduced_plans import CONFIGURATION

# All labeled cases are trained on: with four of them there are no folds.
FOLD = "all"
LAST_EPOCHS_CHECKPOINT, FINAL_CHECKPOINT = "checkpoint_latest.pth", "checkpoint_final.pth"
# Of the benchmark's own, to see what the last quarter of the training is worth.
THREE_QUARTERS_CHECKPOINT = "checkpoint_three_quarters.pth"


def train(
    trainer_class: type[nnUNetTrainer],
    plans: dict[str, Any],
    dataset_json: dict[str, Any],
    *,
    seed: int,
    device: torch.device,
) -> Path:
    """Train to the final checkpoint, unless it is there.

    Args:
        trainer_class: see :func:`make_benchmark_trainer`.
        plans: with the settings of the arm.
        dataset_json: the dataset's dataset.json.
        seed: of weights, batches and augmentation.
        device: where.

    Returns:
        The final checkpoint.
    """
    # Trainers of one seed start from the same weights.
    seed_everything(seed)
    plans = copy.deepcopy(plans)
    folder = results_folder(trainer_class, plans)
    final, latest = folder / FINAL_CHECKPOINT, folder / LAST_EPOCHS_CHECKPOINT
    if final.is_file():
        print(f"{final} is there: nothing to train", flush=True)
        return final
    plans["continue_training"] = latest.is_file()
    trainer = trainer_class(plans, CONFIGURATION, FOLD, dataset_json, device)
    if latest.is_file():
        trainer.initialize()
        trainer.load_checkpoint(str(latest))
        print(f"Going on after epoch {trainer.current_epoch}", flush=True)
        # Not the batches of the first epochs again.
        seed_everything(seed + 1_000_003 * trainer.current_epoch)
    trainer.run_training()
    return final


def results_folder(trainer_class: type[nnUNetTrainer], plans: dict[str, Any]) -> Path:
    """Where nnU-Net puts the results of a training.

    Args:
        trainer_class: the trainer.
        plans: the plans.
    """
    from nnunetv2.paths import nnUNet_results

    name = f"{trainer_class.__name__}__{plans['plans_name']}__{CONFIGURATION}"
    return Path(nnUNet_results) / plans["dataset_name"] / name / f"fold_{FOLD}"


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch.

    nnU-Net's own augmentation workers draw their seeds from the system; without workers (``nnUNet_n_proc_DA=0``) a
    training on the CPU can be repeated exactly.

    Args:
        seed: any number from 0.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 (nnU-Net's loaders draw from it)
    torch.manual_seed(seed)
