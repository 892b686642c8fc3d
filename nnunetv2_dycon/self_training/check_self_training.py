"""What a self-training is asked to do, and what can be known to be wrong with it before hours of training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from nnunetv2.utilities.file_path_utilities import convert_trainer_plans_config_to_identifier

from nnunetv2_dycon.datasets.names import dataset_id, existing_dataset_folder, raw_folder, results_folder
from nnunetv2_dycon.datasets.planned_dataset import PlannedDataset, read_planned_dataset
from nnunetv2_dycon.exceptions import UnsupportedFeatureError, UserError
from nnunetv2_dycon.files import read_json
from nnunetv2_dycon.self_training.pseudo_labeled_dataset import (
    RECORD,
    SourceCases,
    origin_of_predictions,
    pseudo_labeled_dataset_name,
    read_source_cases,
    read_source_splits,
)
from nnunetv2_dycon.training.find_trainer import find_trainer
from nnunetv2_dycon.training.trainer import nnUNetTrainerSemiSupervised


@dataclass(frozen=True)
class SelfTrainingOptions:
    """The options of ``nnunetv2_dycon self-train``.

    Attributes:
        dataset: ID or name of the dataset with ``imagesUnlabeled``.
        output: ID or name of the dataset to make.
        configuration: such as ``3d_fullres``.
        fold: ``0``, ``1``, … or ``all``.
        trainer: trainer of the first model.
        second_trainer: trainer of the second model; None: that of the first.
        plans: plans identifier of both.
        device: ``cuda``, ``cpu`` or ``mps``, as nnU-Net takes it.
        disable_tta: predict without mirroring.
        copy: copy images and labels instead of linking them.
        num_processes: processes for fingerprint, preprocessing and prediction; None: nnU-Net's own choice.
    """

    dataset: str
    output: str
    configuration: str = "3d_fullres"
    fold: str = "0"
    trainer: str = "nnUNetTrainer"
    second_trainer: str | None = None
    plans: str = "nnUNetPlans"
    device: str = "cuda"
    disable_tta: bool = False
    copy: bool = False
    num_processes: int | None = None

    @property
    def last_trainer(self) -> str:
        """The trainer of the second model."""
        return self.second_trainer or self.trainer


@dataclass(frozen=True)
class SelfTrainingFolders:
    """Where a self-training reads and writes.

    Attributes:
        source: the dataset with unlabeled scans, planned.
        cases: its cases.
        target_raw: ``nnUNet_raw/DatasetXXX_NEW``.
        target_preprocessed: ``nnUNet_preprocessed/DatasetXXX_NEW``.
        first_model: fold folder of the first model.
        second_model: fold folder of the second model.
    """

    source: PlannedDataset
    cases: SourceCases
    target_raw: Path
    target_preprocessed: Path
    first_model: Path
    second_model: Path

    @property
    def predictions(self) -> Path:
        """Folder of the first model's predictions of ``imagesUnlabeled``."""
        return self.first_model / "pseudo_labels"


def check_self_training(options: SelfTrainingOptions) -> SelfTrainingFolders:
    """Check all that can be checked before the first model is trained; a UserError names what is wrong."""
    results = results_folder()
    source_raw = existing_dataset_folder(options.dataset)
    source = read_planned_dataset(source_raw.name, options.plans)
    configuration = source.configuration(options.configuration)
    if configuration.previous_stage_name is not None:
        raise UnsupportedFeatureError("self-training does not support cascades: choose 3d_fullres or 3d_lowres")
    cases = read_source_cases(source_raw)
    _check_fold(options.fold, source.splits_file, sorted(cases.labeled.training))
    _check_trainers(options)
    if options.device == "cuda" and not torch.cuda.is_available():
        raise UserError("PyTorch finds no CUDA GPU: give -device cpu")
    if options.num_processes is not None and options.num_processes < 1:
        raise UserError(f"-np must be at least 1, not {options.num_processes}")
    name = pseudo_labeled_dataset_name(source.name, options.output)
    folders = SelfTrainingFolders(
        source,
        cases,
        raw_folder() / name,
        source.folder.with_name(name),
        _fold_folder(results / source.name, options.trainer, options),
        _fold_folder(results / name, options.last_trainer, options),
    )
    if not is_trained(folders.first_model) and not (source.folder / configuration.data_identifier).is_dir():
        raise UserError(
            f"{source.folder / configuration.data_identifier} is not there: preprocess the dataset first, with "
            f"nnUNetv2_preprocess -d {dataset_id(source.name)} -plans_name {options.plans} -c "
            f"{options.configuration}"
        )
    _check_target(folders)
    return folders


def is_trained(fold_folder: Path) -> bool:
    """Whether nnU-Net has trained the model of a fold folder to the end."""
    return (fold_folder / "checkpoint_final.pth").is_file()


def _fold_folder(results_of_dataset: Path, trainer: str, options: SelfTrainingOptions) -> Path:
    model = convert_trainer_plans_config_to_identifier(trainer, options.plans, options.configuration)
    return results_of_dataset / model / f"fold_{options.fold}"


def _check_fold(fold: str, splits_file: Path, labeled: list[str]) -> None:
    splits = read_source_splits(splits_file, labeled)
    if fold not in ("all", *map(str, range(len(splits)))):
        reason = f"{splits_file} has {len(splits)} folds" if splits else f"{len(labeled)} labeled cases make no folds"
        raise UserError(f"there is no fold {fold}, since {reason}: choose another one with -f, or -f all")


def _check_trainers(options: SelfTrainingOptions) -> None:
    find_trainer(options.trainer)
    if issubclass(find_trainer(options.last_trainer), nnUNetTrainerSemiSupervised):
        raise UserError(
            f"{options.last_trainer} needs unlabeled scans, and the dataset of the second model has none left: choose "
            "its trainer with -tr2, such as -tr2 nnUNetTrainer"
        )


def _check_target(folders: SelfTrainingFolders) -> None:
    name = folders.target_raw.name
    if folders.target_raw.exists():
        if not (folders.target_raw / RECORD).is_file():
            raise UserError(f"{folders.target_raw} was not made by self-training: choose another ID or name with -o")
        record = read_json(folders.target_raw / RECORD, ("source", "predictions"))
        if record["predictions"] != origin_of_predictions(folders.predictions):
            raise UserError(
                f"{folders.target_raw} was made from {record['predictions']}, not from the model asked for. Its "
                "pseudo-labels come from one fold of one model: choose another ID or name with -o"
            )
    elif folders.target_preprocessed.exists() or folders.second_model.exists():
        raise UserError(
            f"there are preprocessed data or results of {name}, but {folders.target_raw} is not there: choose another "
            "ID or name with -o, or remove them"
        )
