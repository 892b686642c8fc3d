"""Checks of what nnU-Net hands a trainer: plans, dataset.json, folders and cases, before they can stop a training."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.datasets.names import preprocessed_folder, results_folder
from nnunetv2_dycon.datasets.plans_schema import check_configuration, check_plans
from nnunetv2_dycon.datasets.preprocessed_cases import check_cases_of_fold, check_fingerprint, preprocessing_command
from nnunetv2_dycon.datasets.schemas import check_dataset_json
from nnunetv2_dycon.datasets.splits import SPLITS_FILE
from nnunetv2_dycon.exceptions import UserError


def check_inputs(
    trainer_name: str, plans: dict[str, Any], configuration: str, fold: int | str, dataset_json: dict[str, Any]
) -> None:
    """Check the arguments of a trainer before nnUNetTrainer's constructor reads them.

    Args:
        trainer_name: after which the folder of results is named.
        plans: see nnUNetTrainer.
        configuration: see nnUNetTrainer.
        fold: see nnUNetTrainer.
        dataset_json: see nnUNetTrainer.

    Raises:
        UserError: for plans and a dataset.json that nnU-Net cannot use, an unknown configuration, a negative fold,
            folders of nnU-Net that are not set, and results that cannot be written.
    """
    preprocessed, results = preprocessed_folder(), results_folder()
    name = plans.get("dataset_name")
    folder = preprocessed / name if isinstance(name, str) else preprocessed
    check_plans(plans, str(folder / f"{plans.get('plans_name', 'plans')}.json"))
    plans_file = folder / f"{plans['plans_name']}.json"
    check_dataset_json(dataset_json, str(folder / "dataset.json"))
    check_configuration(plans, configuration, str(plans_file), dataset_json)
    if isinstance(fold, int) and fold < 0:
        raise UserError(f"There is no fold {fold}: train one from 0 on, or all.")
    model = f"{trainer_name}__{plans['plans_name']}__{configuration}"
    _check_that_results_can_be_written(results / plans["dataset_name"] / model / f"fold_{fold}")


def _check_that_results_can_be_written(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written ({error.strerror}): change its permissions, or nnUNet_results."
        ) from error


def check_cases(trainer: nnUNetTrainer) -> None:
    """Check the cases that a trainer's fold will read; for errors see :func:`check_cases_of_fold`."""
    base, folder = Path(trainer.preprocessed_dataset_folder_base), Path(trainer.preprocessed_dataset_folder)
    command = preprocessing_command_of(trainer)
    check_cases_of_fold(base, folder, trainer.fold, trainer.dataset_json["file_ending"], command)


def check_start(trainer: nnUNetTrainer) -> None:
    """Check what the start and the end of a training read: see :func:`check_cases`, and the fingerprint."""
    check_cases(trainer)
    check_fingerprint(Path(trainer.preprocessed_dataset_folder_base))


def splits_file_of(trainer: nnUNetTrainer) -> Path:
    """Where nnU-Net looks for a trainer's folds; it may not be there."""
    return Path(trainer.preprocessed_dataset_folder_base) / SPLITS_FILE


def preprocessing_command_of(trainer: nnUNetTrainer) -> str:
    """The command that preprocesses the labeled cases for a trainer."""
    plans = trainer.plans_manager
    return preprocessing_command(plans.dataset_name, trainer.configuration_name, plans.plans_name)
