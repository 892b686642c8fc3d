"""The cases that self-training starts from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nnunetv2_dycon.dataset_conversion.source_dataset import SourceDataset, read_source_dataset
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.preprocessing.unlabeled_cases import UNLABELED_FOLDER_NAME, UnlabeledCase, find_unlabeled_cases


@dataclass(frozen=True)
class SourceCases:
    """Labeled and unlabeled cases of a raw dataset.

    Attributes:
        labeled: the dataset as nnU-Net sees it; it has a dataset.json.
        unlabeled: the cases of ``imagesUnlabeled``, at least one.
    """

    labeled: SourceDataset
    unlabeled: list[UnlabeledCase]


def read_source_cases(raw_dataset_folder: Path) -> SourceCases:
    """List the cases of a raw dataset and check that their files are there.

    Args:
        raw_dataset_folder: ``nnUNet_raw/DatasetXXX_NAME``.

    Returns:
        The cases. No file is opened.

    Raises:
        UserError: when there are no unlabeled scans, when a case is both labeled and unlabeled, and for missing files.
    """
    dataset = read_source_dataset(raw_dataset_folder)
    if dataset.dataset_json is None:
        raise UserError(f"{raw_dataset_folder} has no dataset.json: bring it into nnU-Net's raw layout first")
    unlabeled = find_unlabeled_cases(raw_dataset_folder, dataset.file_ending)
    if not unlabeled:
        raise UserError(f"{raw_dataset_folder / UNLABELED_FOLDER_NAME} has no scans: put the unlabeled ones there")
    both = sorted({case.identifier for case in unlabeled} & dataset.training.keys())
    if both:
        raise UserError(
            f"{raw_dataset_folder}: {', '.join(both)} is both labeled and in {UNLABELED_FOLDER_NAME}: remove one of "
            "the two"
        )
    needed = [file for case in dataset.training.values() for file in (*case.images, case.label)]
    missing = [file for file in needed if not file.is_file()]
    if missing:
        raise UserError(f"the file {missing[0]} is missing: add it, or remove its case")
    channels = len(dataset.dataset_json["channel_names"])
    for case in unlabeled:
        if len(case.images) != channels:
            raise UserError(
                f"case {case.identifier} of {raw_dataset_folder / UNLABELED_FOLDER_NAME} has {len(case.images)} of "
                f"{channels} channels: add the missing files"
            )
    return SourceCases(dataset, unlabeled)
