"""Making the unlabeled data of a training ready."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from nnunetv2_dycon.datasets.names import find_raw_dataset_folder, preprocessed_folder
from nnunetv2_dycon.datasets.preprocessed_cases import preprocessed_cases
from nnunetv2_dycon.datasets.raw_dataset import (
    LABELED_FOLDER_NAME,
    UNLABELED_FOLDER_NAME,
    find_off_limits_cases,
    find_unlabeled_cases,
    labeled_images,
)
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.preprocessing.case_stamp import hash_plans, stamp_file, stamped_cases
from nnunetv2_dycon.preprocessing.unlabeled_preprocessor import preprocess_unlabeled_cases


@dataclass(frozen=True)
class UnlabeledData:
    """A folder of preprocessed unlabeled cases, and those to use, sorted."""

    folder: Path
    identifiers: list[str]


def unlabeled_data_folder(dataset_name: str, configuration_manager: ConfigurationManager) -> Path:
    """``nnUNet_preprocessed/DatasetXXX_NAME/<data_identifier>_unlabeled``."""
    return preprocessed_folder() / dataset_name / f"{configuration_manager.data_identifier}_unlabeled"


def prepare_unlabeled_data(
    plans_manager: PlansManager,
    configuration_manager: ConfigurationManager,
    dataset_json: dict[str, Any],
    off_limits: Iterable[str],
    num_processes: int,
    report: Callable[[str], None] = print,
) -> UnlabeledData:
    """Preprocess what is not ready and say which unlabeled cases, at least one, a training uses.

    Where the raw dataset is there, it decides: all scans of ``imagesUnlabeled`` and the off-limits cases. Where it is
    not (a machine that holds preprocessed data only), everything that was preprocessed from these plans is used.

    Cases of ``imagesTr`` that are off limits (``"unlabeled"`` of splits_final.json) are used without their labels.

    Raises:
        UserError: when there are no unlabeled cases, when a case is both labeled and unlabeled, when a scan cannot be
            used, and when something has to be preprocessed but the raw data are not there.
    """
    dataset_name = plans_manager.dataset_name
    folder = unlabeled_data_folder(dataset_name, configuration_manager)
    off_limits = sorted(set(off_limits))
    raw_dataset_folder = find_raw_dataset_folder(dataset_name)
    preprocessed_with_label = _preprocessed_labeled_cases(dataset_name, configuration_manager)
    if raw_dataset_folder is not None:
        cases = find_unlabeled_cases(raw_dataset_folder, dataset_json["file_ending"])
        identifiers = [case.identifier for case in cases]
        labeled = labeled_images(raw_dataset_folder, dataset_json)
        _refuse_labeled(identifiers, labeled, raw_dataset_folder / LABELED_FOLDER_NAME)
        _refuse_labeled(identifiers, *preprocessed_with_label)
        cases += find_off_limits_cases(raw_dataset_folder, dataset_json, off_limits)
        identifiers = sorted(case.identifier for case in cases)
        managers = (plans_manager, configuration_manager)
        if done := preprocess_unlabeled_cases(cases, folder, *managers, dataset_json, num_processes):
            report(f"Preprocessed {done} unlabeled cases into {folder}.")
        place = str(raw_dataset_folder / UNLABELED_FOLDER_NAME)
    else:
        plans_hash = hash_plans(plans_manager, configuration_manager)
        identifiers = _identifiers_without_raw_data(folder, plans_hash, off_limits)
        _refuse_labeled(set(identifiers) - set(off_limits), *preprocessed_with_label)
        place = f"{folder} (there are no raw data of {dataset_name} here)"
    if not identifiers:
        raise UserError(
            f"{dataset_name} has no unlabeled scans: {place} is empty or not there. Put scans named like those of "
            f"{LABELED_FOLDER_NAME} (CASE_0000{dataset_json['file_ending']}) into nnUNet_raw/{dataset_name}/"
            f'{UNLABELED_FOLDER_NAME}, or name cases under "unlabeled" in splits_final.json.'
        )
    return UnlabeledData(folder, identifiers)


def _preprocessed_labeled_cases(
    dataset_name: str, configuration_manager: ConfigurationManager
) -> tuple[list[str], Path]:
    """The cases that nnU-Net has preprocessed with their labels, and where they lie."""
    folder = preprocessed_folder() / dataset_name / configuration_manager.data_identifier
    return preprocessed_cases(folder), folder


def _refuse_labeled(unlabeled: Iterable[str], labeled: Iterable[str], folder: Path) -> None:
    if both := sorted(set(unlabeled) & set(labeled)):
        raise UserError(
            f"{', '.join(both)}: in {UNLABELED_FOLDER_NAME} and, with a label, in {folder}. A scan is either "
            "labeled (for training or validation) or unlabeled: remove it from one of the two folders."
        )


def _identifiers_without_raw_data(folder: Path, plans_hash: str, off_limits: list[str]) -> list[str]:
    stamps = {case: json.loads(stamp_file(folder, case).read_text()) for case in stamped_cases(folder)}
    identifiers = [i for i, stamp in stamps.items() if stamp["source"] == UNLABELED_FOLDER_NAME]
    missing = [i for i in off_limits if i not in stamps]
    outdated = [i for i in (*identifiers, *off_limits) if i in stamps and stamps[i]["plans"] != plans_hash]
    if missing or outdated:
        raise UserError(
            f"{folder}: {len(missing)} unlabeled cases are not preprocessed and {len(outdated)} were preprocessed from "
            "other plans, and the raw data are not here. Set nnUNet_raw to where they are, or run "
            '"nnunetv2_dycon preprocess" on the machine that has them and copy the folder.'
        )
    return sorted({*identifiers, *off_limits})
