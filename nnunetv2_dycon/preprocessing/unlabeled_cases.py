"""Which unlabeled scans a raw dataset has."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

from nnunetv2_dycon.exceptions import UserError

UNLABELED_FOLDER_NAME = "imagesUnlabeled"
LABELED_FOLDER_NAME = "imagesTr"


@dataclass(frozen=True)
class UnlabeledCase:
    """An unlabeled case of a raw dataset.

    Attributes:
        identifier: the case identifier, in nnU-Net's sense.
        images: its image files, ordered by channel.
        source: ``imagesUnlabeled``, or ``imagesTr`` for a case that splits_final.json puts off limits.
    """

    identifier: str
    images: tuple[Path, ...]
    source: str

    @property
    def files(self) -> tuple[Path, ...]:
        """All raw files: the images, and ``CASE.json`` beside them where nnU-Net reads a TIFF's spacing from it."""
        spacing = self.images[0].with_name(f"{self.identifier}.json")
        return (*self.images, spacing) if spacing.is_file() else self.images


def find_unlabeled_cases(raw_dataset_folder: Path, file_ending: str) -> list[UnlabeledCase]:
    """List the cases of ``imagesUnlabeled``.

    Args:
        raw_dataset_folder: ``nnUNet_raw/DatasetXXX_NAME``.
        file_ending: of dataset.json, e.g. ``.nii.gz``.

    Returns:
        The cases, sorted by identifier; an empty list where there is no such folder. Hidden files, and a file
        ``CASE.json`` with the spacing of a TIFF, are not scans.

    Raises:
        UserError: for a file that is not named ``CASE_XXXX`` plus the file ending, and for a gap in a case's channels.
    """
    folder = raw_dataset_folder / UNLABELED_FOLDER_NAME
    if not folder.is_dir():
        return []
    images, others = _images_by_case(folder, file_ending)
    others = [file for file in others if file.suffix != ".json" or file.stem not in images]
    if others:
        raise UserError(
            f"{others[0]} is not named like a scan of this dataset. Name it CASE_0000{file_ending} (one file a "
            f"channel, as in {LABELED_FOLDER_NAME}), or move it out of {UNLABELED_FOLDER_NAME}."
        )
    for identifier, files in images.items():
        if sorted(files) != list(range(len(files))):
            present = ", ".join(f"{channel:04d}" for channel in sorted(files))
            raise UserError(
                f"{folder}/{identifier}* has the channels {present}: some are missing. Add the missing files or remove "
                "the case."
            )
    return [_case(identifier, images[identifier], UNLABELED_FOLDER_NAME) for identifier in sorted(images)]


def labeled_images(raw_dataset_folder: Path, dataset_json: dict) -> dict[str, tuple[Path, ...]]:
    """The images of the labeled cases, as nnU-Net finds them. Labels are not touched.

    Args:
        raw_dataset_folder: ``nnUNet_raw/DatasetXXX_NAME``.
        dataset_json: the dataset's dataset.json.

    Returns:
        The image files of each case, ordered by channel.
    """
    if "dataset" in dataset_json:
        entries = get_filenames_of_train_images_and_targets(str(raw_dataset_folder), copy.deepcopy(dataset_json))
        return {identifier: tuple(map(Path, entry["images"])) for identifier, entry in entries.items()}
    folder = raw_dataset_folder / LABELED_FOLDER_NAME
    if not folder.is_dir():
        return {}
    images, _ = _images_by_case(folder, dataset_json["file_ending"])
    return {identifier: _case(identifier, files, LABELED_FOLDER_NAME).images for identifier, files in images.items()}


def find_off_limits_cases(
    raw_dataset_folder: Path, dataset_json: dict, identifiers: Iterable[str]
) -> list[UnlabeledCase]:
    """Find the images of cases of the labeled folder whose labels are off limits. The labels are not touched.

    Args:
        raw_dataset_folder: ``nnUNet_raw/DatasetXXX_NAME``.
        dataset_json: the dataset's dataset.json.
        identifiers: the cases that splits_final.json lists under ``"unlabeled"``.

    Returns:
        The cases, sorted by identifier.

    Raises:
        UserError: when the dataset has no such case.
    """
    wanted = sorted(set(identifiers))
    if not wanted:
        return []
    available = labeled_images(raw_dataset_folder, dataset_json)
    missing = [identifier for identifier in wanted if identifier not in available]
    if missing:
        raise UserError(
            f'splits_final.json lists {", ".join(missing)} under "unlabeled", but {raw_dataset_folder} has no such '
            "training case. Correct the names in splits_final.json."
        )
    return [UnlabeledCase(identifier, available[identifier], LABELED_FOLDER_NAME) for identifier in wanted]


def _images_by_case(folder: Path, file_ending: str) -> tuple[dict[str, dict[int, Path]], list[Path]]:
    """The image of each channel of each case, and the files that are named otherwise."""
    name_pattern = re.compile(rf"(.+)_(\d{{4}}){re.escape(file_ending)}")
    images: dict[str, dict[int, Path]] = {}
    others = []
    for file in sorted(folder.iterdir()):
        match = name_pattern.fullmatch(file.name)
        if match is not None:
            images.setdefault(match[1], {})[int(match[2])] = file
        elif not file.name.startswith("."):
            others.append(file)
    return images, others


def _case(identifier: str, images: dict[int, Path], source: str) -> UnlabeledCase:
    return UnlabeledCase(identifier, tuple(images[channel] for channel in sorted(images)), source)
