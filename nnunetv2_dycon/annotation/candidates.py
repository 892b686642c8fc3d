"""The scans of a dataset that may be annotated next, and those that are labeled. No label is opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2_dycon.datasets.names import existing_dataset_folder, preprocessed_folder
from nnunetv2_dycon.datasets.raw_dataset import (
    UnlabeledCase,
    dataset_json_of,
    files_per_case,
    find_off_limits_cases,
    find_unlabeled_cases,
    misnamed_unlabeled_folder,
    number_of_channels,
    read_labeled_dataset,
    surplus_files,
)
from nnunetv2_dycon.datasets.raw_file_names import LABELED_FOLDER_NAME, UNLABELED_FOLDER_NAME
from nnunetv2_dycon.datasets.splits import SPLITS_FILE, off_limits_cases_of_all_folds
from nnunetv2_dycon.exceptions import UserError, counted
from nnunetv2_dycon.uncertainty.inputs import TrainedModel


@dataclass(frozen=True)
class Candidates:
    """The cases of a dataset, by name and sorted.

    Attributes:
        dataset: its full name.
        file_ending: of all files.
        labeled: the image files of labeled cases, at least one, ordered by channel.
        unlabeled: cases without a label that may be looked at, at least one.
    """

    dataset: str
    file_ending: str
    labeled: dict[str, list[Path]]
    unlabeled: dict[str, UnlabeledCase]

    @property
    def unlabeled_images(self) -> dict[str, list[Path]]:
        """The image files of unlabeled cases, ordered by channel."""
        return {name: list(case.images) for name, case in self.unlabeled.items()}


def find_candidates(name_or_id: str, model: TrainedModel) -> Candidates:
    """List the unlabeled cases of a dataset: ``imagesUnlabeled``, and what a fold puts off limits ("unlabeled").

    Args:
        name_or_id: of a dataset in nnUNet_raw.
        model: which is to predict them.

    Raises:
        UserError: when there are none, a case is both labeled and unlabeled, files or channels are missing, and for
            the second stage of a cascade.
    """
    if model.previous_stage_name is not None:
        raise UserError(
            f"{model.folder} needs the predictions of {model.previous_stage_name}: rank with that stage, -c "
            f"{model.previous_stage_name}."
        )
    folder = existing_dataset_folder(name_or_id)
    dataset = read_labeled_dataset(folder)
    dataset_json, ending = dataset_json_of(dataset), dataset.file_ending
    _refuse_model_of_other_scans(model, folder, dataset_json)
    off_limits = off_limits_cases_of_all_folds(preprocessed_folder() / folder.name / SPLITS_FILE)
    cases = find_unlabeled_cases(folder, ending)
    if both := sorted({case.identifier for case in cases} & dataset.training.keys()):
        raise UserError(
            f"{folder}: {', '.join(both)} is in {LABELED_FOLDER_NAME} and in {UNLABELED_FOLDER_NAME}: remove one of "
            "the two, or, if add-labels was killed, run it again."
        )
    cases += find_off_limits_cases(folder, dataset_json, off_limits)
    if not cases:
        hint = misnamed_unlabeled_folder(folder) or f"Put scans named CASE_0000{ending} there."
        raise UserError(f"{folder / UNLABELED_FOLDER_NAME} has no scans, so there is nothing to rank. {hint}")
    files = files_per_case((case.images for case in dataset.training.values()), dataset_json)
    for case in cases:
        if surplus := surplus_files(case, dataset_json):
            raise UserError(surplus)
        if len(case.images) != files:
            raise UserError(
                f"{folder / case.source / case.identifier}* has {len(case.images)} of {files} channels: add the "
                "missing files, or remove the case."
            )
    labeled = {name: list(case.images) for name, case in dataset.training.items() if name not in off_limits}
    if not labeled:
        raise UserError(f"{folder} has no labeled case that is not off limits: correct {SPLITS_FILE}.")
    _refuse_missing([image for images in labeled.values() for image in images])
    _refuse_missing([image for case in cases for image in case.images])
    unlabeled = {case.identifier: case for case in sorted(cases, key=lambda case: case.identifier)}
    return Candidates(folder.name, ending, labeled, unlabeled)


def _refuse_model_of_other_scans(model: TrainedModel, folder: Path, dataset_json: dict[str, Any]) -> None:
    """Refuse a model of scans with another file ending or number of channels."""
    there, here = (
        (f"{each['file_ending']} files", counted(number_of_channels(each), "channel"))
        for each in (model.dataset_json, dataset_json)
    )
    for trained_on, found in zip(there, here, strict=True):
        if trained_on != found:
            raise UserError(
                f"{model.folder} was trained on {trained_on}, and {folder} has {found}: name a model of this dataset."
            )


def _refuse_missing(files: Sequence[Path]) -> None:
    # A link may have lost its target.
    if missing := [file for file in files if not file.is_file()]:
        raise UserError(f"{missing[0]} is not there: correct the link, or remove the case.")
