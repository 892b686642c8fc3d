"""One training: ``python -m benchmarks.small_lesions.training``; prints JSON."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from batchgenerators.utilities.file_and_folder_operations import load_json, save_json

from benchmarks.common.measuring import print_measurement
from benchmarks.common.workspace import (
    CONFIGURATION,
    DATASET_NAME,
    PLANS_FILE,
    Configuration,
    preprocess_workspace,
    use_workspace,
)
from benchmarks.small_lesions.scans import write_dataset
from nnunetv2_dycon.datasets.planned_dataset import read_planned_dataset
from nnunetv2_dycon.preprocessing.prepare_unlabeled_data import UnlabeledData, prepare_unlabeled_data
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON
from nnunetv2_dycon.training.unlabeled_stream import (
    make_unlabeled_loader,
    nnUNetTwoViewDataLoader,
    nnUNetUnlabeledDataset,
)

_SPLITS = "splits_final.json"
_HIDDEN = "hidden_labels"
_STEPS_PER_EPOCH = 200
# FeCL would take half of the time, and is a small share of the loss.
_SETTINGS = {"fecl_weight": 0, "warmup_fraction": 0.3, "rampup_fraction": 0.2}


def prepare(folder: Path, *, labeled: int, unlabeled: int, test: int, size: int, patch: int) -> None:
    """Make a workspace.

    Args:
        folder: an empty folder.
        labeled: see write_dataset.
        unlabeled: see write_dataset.
        test: see write_dataset.
        size: of a scan, voxels along each axis.
        patch: of a patch, likewise.
    """
    use_workspace(folder)
    raw = folder / "nnUNet_raw" / DATASET_NAME
    write_dataset(raw, folder / _HIDDEN, labeled=labeled, unlabeled=unlabeled, test=test, size=size)
    configuration = Configuration((patch,) * 3, (6, 12, 24), spacing=(1.0, 1.0, 1.0), batch_dice=True)
    preprocess_workspace(folder, configuration, settings={})
    names = sorted(file.stem for file in (raw / "labelsTr").iterdir())
    split = {kind: [name for name in names if name.startswith(kind)] for kind in ("labeled", "test")}
    splits = [{"train": split["labeled"], "val": split["test"]}]
    save_json(splits, str(folder / "nnUNet_preprocessed" / DATASET_NAME / _SPLITS))
    dataset = read_planned_dataset(DATASET_NAME, Path(PLANS_FILE).stem)
    prepare_unlabeled_data(dataset.plans_manager, dataset.configuration(CONFIGURATION), dataset.dataset_json, [], 1)


class CountingTrainer(nnUNetTrainerDyCON):
    """DyCON that counts unlabeled patches with a lesion, for the benchmark alone: it reads the hidden labels to count.

    Attributes:
        hidden_labels: of each unlabeled case, (X, Y, Z).
        counts: for each step with an unlabeled batch, how many of its patches show a lesion.
    """

    hidden_labels: dict[str, np.ndarray]
    counts: list[int]

    def make_unlabeled_loader(self, data: UnlabeledData) -> nnUNetTwoViewDataLoader:
        """With the locations of patches, also where they are drawn uniformly. See nnUNetTrainerSemiSupervised."""
        dataset = nnUNetUnlabeledDataset(str(data.folder), data.identifiers)
        return make_unlabeled_loader(self, dataset, self.settings, class_locations=self.class_locations)

    def next_unlabeled_batch(self) -> dict:
        """Count. See nnUNetTrainerSemiSupervised."""
        batch = super().next_unlabeled_batch()
        self.counts.append(
            sum(
                self._shows_lesion(name, blocks.flatten(1).numpy())
                for name, blocks in zip(batch["keys"], batch["locations"], strict=True)
            )
        )
        return batch

    def _shows_lesion(self, name: str, voxels: np.ndarray) -> bool:
        # A block has two voxels along each axis, a lesion at least five.
        return bool(self.hidden_labels[name][tuple(voxels[:, (voxels >= 0).all(0)])].any())


def make_trainer(folder: Path, fraction: float, seed: int, results: str) -> CountingTrainer:
    """Make a trainer on the workspace.

    Args:
        folder: where :func:`prepare` has been; nnU-Net's variables point to it afterwards.
        fraction: of unlabeled patches around the teacher's foreground.
        seed: of weights, batches and augmentation.
        results: name of a folder in the workspace.
    """
    use_workspace(folder)
    os.environ["nnUNet_results"] = str(folder / results)
    preprocessed = folder / "nnUNet_preprocessed" / DATASET_NAME
    plans = {**load_json(str(preprocessed / PLANS_FILE)), "continue_training": False}
    plans["configurations"][CONFIGURATION]["dycon"] = {**_SETTINGS, "unlabeled_foreground_fraction": fraction}
    np.random.seed(seed)  # noqa: NPY002 (nnU-Net's loaders draw from it)
    torch.manual_seed(seed)
    dataset_json = load_json(str(preprocessed / "dataset.json"))
    trainer = CountingTrainer(plans, CONFIGURATION, 0, dataset_json, torch.device("cpu"))
    trainer.hidden_labels = {file.stem: np.load(file) for file in (folder / _HIDDEN).iterdir()}
    trainer.counts = []
    return trainer


def train(folder: Path, fraction: float, seed: int, epochs: int) -> dict[str, Any]:
    """Train and validate.

    Args:
        folder: where :func:`prepare` has been.
        fraction: of unlabeled patches around the teacher's foreground.
        seed: of weights, batches and augmentation.
        epochs: how many, of 200 steps.

    Returns:
        Figures for the table.
    """
    trainer = make_trainer(folder, fraction, seed, f"results_{fraction}_{seed}")
    trainer.num_epochs, trainer.num_iterations_per_epoch = epochs, _STEPS_PER_EPOCH
    trainer.num_val_iterations_per_epoch = 5
    start = time.process_time()
    trainer.run_training()
    seconds = time.process_time() - start
    # No mirroring, which would take eight times as long.
    trainer.inference_allowed_mirroring_axes = None
    trainer.perform_actual_validation()
    summary = load_json(str(Path(trainer.output_folder) / "validation" / "summary.json"))
    dice = [case["metrics"]["1"]["Dice"] for case in summary["metric_per_case"]]
    patches = trainer.batch_size
    # The first of these steps are drawn before the teacher was asked anything.
    half = len(trainer.counts) // 2
    return {
        "fraction": fraction,
        "seed": seed,
        "steps": epochs * _STEPS_PER_EPOCH,
        "patches_with_lesion": float(np.mean(trainer.counts)) / patches,
        "patches_with_lesion_second_half": float(np.mean(trainer.counts[half:])) / patches,
        "cases_known": trainer.class_locations.known_case_fraction,
        "dice": float(np.nanmean(dice)),
        "cases_without_overlap": int(np.sum(np.array(dice) < 0.1)),
        "cpu_seconds": round(seconds),
    }


def main(arguments: list[str] | None = None) -> None:
    """Train as the command line says.

    Args:
        arguments: the command line, without the program's name; that of this process if None.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fraction", type=float)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--epochs", type=int)
    options = parser.parse_args(arguments)
    print_measurement(lambda: train(options.folder, options.fraction, options.seed, options.epochs))


if __name__ == "__main__":
    main()
