"""The dataset that self-training starts from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2_dycon.datasets.raw_dataset import (
    LabeledDataset,
    UnlabeledCase,
    dataset_json_of,
    files_per_case,
    find_unlabeled_cases,
    misnamed_unlabeled_folder,
    read_labeled_dataset,
    surplus_files,
)
from nnunetv2_dycon.datasets.raw_file_names import UNLABELED_FOLDER_NAME
from nnunetv2_dycon.exceptions import UserError


@dataclass(frozen=True)
class SourceCases:
    """A raw dataset as nnU-Net sees it, its dataset.json and the cases of ``imagesUnlabeled``, at least one."""

    labeled: LabeledDataset
    dataset_json: dict[str, Any]
    unlabeled: list[UnlabeledCase]


def read_source_cases(raw_dataset_folder: Path) -> SourceCases:
    """List the cases of a raw dataset and check that their files are there. None is opened.

    Raises:
        UserError: when there are no unlabeled scans, when a case is both labeled and unlabeled, and for missing files.
    """
    dataset = read_labeled_dataset(raw_dataset_folder)
    dataset_json = dataset_json_of(dataset)
    unlabeled = find_unlabeled_cases(raw_dataset_folder, dataset.file_ending)
    if not unlabeled:
        remedy = misnamed_unlabeled_folder(raw_dataset_folder) or "Put the unlabeled ones there."
        raise UserError(f"{raw_dataset_folder / UNLABELED_FOLDER_NAME} has no scans. {remedy}")
    if both := sorted({case.identifier for case in unlabeled} & dataset.training.keys()):
        raise UserError(
            f"{raw_dataset_folder}: {', '.join(both)} is both labeled and in {UNLABELED_FOLDER_NAME}: remove one of "
            "the two"
        )
    needed = [file for case in dataset.training.values() for file in (*case.images, case.label)]
    if missing := [file for file in needed if not file.is_file()]:
        raise UserError(f"the file {missing[0]} is missing: add it, or remove its case")
    files = files_per_case((case.images for case in dataset.training.values()), dataset_json)
    for case in unlabeled:
        if surplus := surplus_files(case, dataset_json):
            raise UserError(surplus)
        if len(case.images) != files:
            raise UserError(
                f"case {case.identifier} of {raw_dataset_folder / UNLABELED_FOLDER_NAME} has {len(case.images)} of "
                f"{files} channels: add the missing files"
            )
    return SourceCases(dataset, dataset_json, unlabeled)
