"""From data to predictions: training one network, predicting with it, and self-training, which does both twice."""

from __future__ import annotations

import copy
import math
import os
import random
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from benchmarks.label_efficiency.runs import read_json_file, write_whole_json
from nnunetv2_dycon.datasets.raw_file_names import UNLABELED_FOLDER_NAME
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.files import hash_file
from nnunetv2_dycon.nnunet_command import run_nnunet_command
from nnunetv2_dycon.self_training.pseudo_labeled_dataset import write_pseudo_labeled_dataset

# All labeled cases are trained on: with four of them there are no folds.
FOLD = "all"
FINAL_CHECKPOINT = "checkpoint_final.pth"
_LATEST_CHECKPOINT = "checkpoint_latest.pth"
_PREPROCESSED_MARKER = "preprocessed.json"
_TIMES = ("epoch_start_timestamps", "epoch_end_timestamps")


@dataclass(frozen=True)
class Training:
    """What trainings of one run share.

    Attributes:
        trainer_class: see :func:`make_benchmark_trainer`.
        plans: with the settings of the arm.
        configuration: of the plans.
        dataset_json: the dataset's dataset.json.
        seed: of weights, batches and augmentation.
        device: where.
        bfloat16: predict on the CPU in bfloat16, as nnU-Net does in float16 on a GPU.
    """

    trainer_class: type[nnUNetTrainer]
    plans: dict[str, Any]
    configuration: str
    dataset_json: dict[str, Any]
    seed: int
    device: torch.device
    bfloat16: bool

    def train(self) -> Path:
        """Train from the start or from the last checkpoint to the final one, unless it is there, and return it."""
        # Trainers of one seed start from the same weights.
        seed_everything(self.seed)
        plans = copy.deepcopy(self.plans)
        folder = self._results_folder()
        final, latest = folder / FINAL_CHECKPOINT, folder / _LATEST_CHECKPOINT
        if final.is_file():
            print(f"{final} is there: nothing to train", flush=True)
            return final
        plans["continue_training"] = latest.is_file()
        trainer = self.trainer_class(plans, self.configuration, FOLD, self.dataset_json, self.device)
        if latest.is_file():
            trainer.initialize()
            trainer.load_checkpoint(str(latest))
            print(f"Going on after epoch {trainer.current_epoch}", flush=True)
            # Not the batches of the first epochs again.
            seed_everything(self.seed + 1_000_003 * trainer.current_epoch)
        trainer.run_training()
        return final

    def predict(self, checkpoint_file: Path, images: Path, output: Path, *, mirroring: bool = True) -> None:
        """Predict a folder of images as nnUNetv2_predict does, in this process.

        Args:
            checkpoint_file: holds the weights.
            images: folder of ``CASE_0000`` files.
            output: folder for the segmentations; what an earlier attempt left there is written again.
            mirroring: at test time, nnU-Net's default.
        """
        plans_manager = PlansManager(self.plans)
        configuration = plans_manager.get_configuration(self.configuration)
        checkpoint = torch.load(checkpoint_file, map_location="cpu", weights_only=False)
        heads = plans_manager.get_label_manager(self.dataset_json).num_segmentation_heads
        channels = determine_num_input_channels(plans_manager, configuration, self.dataset_json)
        network = self.trainer_class.build_network_architecture(plans_manager, configuration, channels, heads, False)
        predictor = nnUNetPredictor(
            use_mirroring=mirroring,
            perform_everything_on_device=self.device.type == "cuda",
            device=self.device,
            allow_tqdm=False,
        )
        predictor.manual_initialization(
            network.to(self.device),
            plans_manager,
            configuration,
            [checkpoint["network_weights"]],
            self.dataset_json,
            self.trainer_class.__name__,
            checkpoint["inference_allowed_mirroring_axes"],
        )
        output.mkdir(parents=True, exist_ok=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            predictor.predict_from_files_sequential(str(images), str(output))

    def _results_folder(self) -> Path:
        """Where nnU-Net puts the results."""
        from nnunetv2.paths import nnUNet_results

        name = f"{self.trainer_class.__name__}__{self.plans['plans_name']}__{self.configuration}"
        return Path(nnUNet_results) / self.plans["dataset_name"] / name / f"fold_{FOLD}"


def pseudo_labeled_name(dataset: str) -> str:
    """What :func:`self_train` calls the dataset that it makes of another one."""
    return f"{dataset}_self_training"


def self_train(
    first: Training, training: Training, folder: Path, first_checkpoint: Path | None, *, all_components: bool
) -> tuple[Path, Path]:
    """Train on the labeled cases, predict the unlabeled ones, train from scratch on both, as long as before.

    Plans and their figures of the intensities stay those of the labeled cases.

    Args:
        first: on the labeled cases.
        training: on all cases; its plans are of the dataset of the labeled ones.
        folder: of the run; the dataset with pseudo-labels is made in it.
        first_checkpoint: of the first training where it has been done already. A run that was interrupted after it made
            its labels keeps the checkpoint that predicted them.
        all_components: whether the predictions become labels as they are; see write_pseudo_labeled_dataset.

    Returns:
        The final checkpoints of both trainings.

    Raises:
        UserError: where the labels of an attempt that was interrupted are those of a checkpoint that has changed since.
    """
    source = training.plans["dataset_name"]
    source_raw = Path(os.environ["nnUNet_raw"]) / source
    source_preprocessed = Path(os.environ["nnUNet_preprocessed"]) / source
    name = pseudo_labeled_name(source)
    preprocessed = folder / "nnUNet_preprocessed" / name
    plans = {**training.plans, "dataset_name": name}
    marker = preprocessed / _PREPROCESSED_MARKER
    if marker.is_file():
        first_checkpoint = _predicting_checkpoint(marker, folder)
    elif first_checkpoint is None:
        first_checkpoint = first.train()
    # nnU-Net's variables point into the run's folder from here on, after the first training, whose data lie elsewhere.
    for variable in ("nnUNet_raw", "nnUNet_preprocessed"):
        (folder / variable).mkdir(exist_ok=True)
        os.environ[variable] = str(folder / variable)
    print(f"The first training is that of {first_checkpoint}", flush=True)
    if not marker.is_file():
        pseudo_labels, raw = folder / "pseudo_labels", folder / "nnUNet_raw" / name
        first.predict(first_checkpoint, source_raw / UNLABELED_FOLDER_NAME, pseudo_labels)
        # Its labels may be those of an attempt that was interrupted.
        shutil.rmtree(raw, ignore_errors=True)
        write_pseudo_labeled_dataset(source_raw, pseudo_labels, raw, all_components=all_components)
        _preprocess(plans, training.configuration, raw, source_preprocessed, preprocessed)
        write_whole_json(marker, {"file": str(first_checkpoint), "sha256": hash_file(first_checkpoint)})
    dataset_json = read_json_file(preprocessed / "dataset.json")
    return first_checkpoint, replace(training, plans=plans, dataset_json=dataset_json).train()


def _predicting_checkpoint(marker: Path, run_folder: Path) -> Path:
    """The checkpoint that predicted the labels of an attempt that was interrupted."""
    predicted_with = read_json_file(marker)
    checkpoint = Path(predicted_with.get("file", "checkpoint"))
    if not checkpoint.is_file() or hash_file(checkpoint) != predicted_with["sha256"]:
        raise UserError(f"the labels in {run_folder} were predicted with another {checkpoint}: remove {run_folder}")
    return checkpoint


def _preprocess(
    plans: dict[str, Any], configuration: str, raw: Path, source_preprocessed: Path, preprocessed: Path
) -> None:
    preprocessed.mkdir(exist_ok=True)
    write_whole_json(preprocessed / f"{plans['plans_name']}.json", plans)
    shutil.copyfile(raw / "dataset.json", preprocessed / "dataset.json")
    shutil.copyfile(source_preprocessed / "dataset_fingerprint.json", preprocessed / "dataset_fingerprint.json")
    # A first training in the run's own results folder is of another dataset with this number, which nnU-Net refuses.
    environment = {name: value for name, value in os.environ.items() if name != "nnUNet_results"}
    run_nnunet_command(
        "nnUNetv2_preprocess",
        *("-d", raw.name[7:10], "-plans_name", plans["plans_name"], "-c", configuration),
        *("-np", os.environ["nnUNet_def_n_proc"]),
        environment=environment,
    )


def read_curves(checkpoint_file: Path) -> dict[str, list[Any]]:
    """Read what nnU-Net logged of a training from a checkpoint.

    Returns:
        One value an epoch of everything that was logged, such as ``mean_fg_dice`` (the pseudo-Dice), ``train_losses``,
        ``dice_per_class_or_region`` and what a method adds, with None for NaN; and ``epoch_seconds``.
    """
    logged = torch.load(checkpoint_file, map_location="cpu", weights_only=False)["logging"]
    seconds = [float(end - start) for start, end in zip(*(logged[name] for name in _TIMES), strict=True)]
    curves = {name: [_plain(value) for value in values] for name, values in logged.items() if name not in _TIMES}
    return curves | {"epoch_seconds": seconds}


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    number = float(value)
    return number if math.isfinite(number) else None


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
