"""Reading the layout of a labeled dataset, without opening a scan or a label."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

from nnunetv2_dycon.dataset_conversion.read_json import read_json
from nnunetv2_dycon.exceptions import UserError

PLAIN_LAYOUT_ENDING = ".nii.gz"


@dataclass(frozen=True)
class SourceCase:
    """Files of one case: one image a channel, and where its label should be (it is not looked at)."""

    images: tuple[Path, ...]
    label: Path


@dataclass(frozen=True)
class SourceDataset:
    """A labeled dataset on disk.

    Attributes:
        folder: where it is.
        training: cases by name, in alphabetical order.
        test: labeled test cases by name; empty where the dataset has no labeled test set.
        dataset_json: contents of nnU-Net's ``dataset.json``; ``None`` in the layout without one.
        file_ending: of images and labels.
    """

    folder: Path
    training: dict[str, SourceCase]
    test: dict[str, SourceCase]
    dataset_json: dict[str, Any] | None
    file_ending: str

    @property
    def cases(self) -> dict[str, SourceCase]:
        """All cases by name."""
        return self.training | self.test


def read_source_dataset(folder: Path) -> SourceDataset:
    """List the cases of a labeled dataset.

    Two layouts are understood: nnU-Net's raw layout (``dataset.json``, ``imagesTr``, ``labelsTr`` and, for a labeled
    test set, ``imagesTs`` with ``labelsTs``; or the file lists in ``dataset.json`` that nnU-Net supports), and a plain
    one with ``images/NAME.nii.gz`` and ``labels/NAME.nii.gz``.

    Args:
        folder: folder of the dataset.

    Returns:
        The dataset. Label files are not opened, and not looked for either.

    Raises:
        UserError: if the folder has neither layout, has no images, or channels of a case are missing.
    """
    if (folder / "dataset.json").is_file():
        dataset = _read_raw_layout(folder)
    elif (folder / "images").is_dir() and (folder / "labels").is_dir():
        dataset = _read_plain_layout(folder)
    else:
        raise UserError(
            f"{folder} is no labeled dataset: it needs dataset.json, imagesTr and labelsTr (nnU-Net's raw layout), "
            f"or images/NAME{PLAIN_LAYOUT_ENDING} and labels/NAME{PLAIN_LAYOUT_ENDING}"
        )
    if not dataset.training:
        raise UserError(f"{folder} has no training images with the file ending {dataset.file_ending}")
    twice = sorted(dataset.training.keys() & dataset.test.keys())
    if twice:
        raise UserError(f"{folder} has the case {twice[0]} both in imagesTr and in imagesTs: rename or remove one")
    return dataset


def _read_raw_layout(folder: Path) -> SourceDataset:
    file = folder / "dataset.json"
    dataset_json = read_json(file, ("channel_names", "labels", "file_ending"))
    ending, channels = dataset_json["file_ending"], len(dataset_json["channel_names"])
    if "dataset" in dataset_json:
        # nnU-Net replaces the entries in place.
        listed = get_filenames_of_train_images_and_targets(str(folder), read_json(file))
        training = {
            name: SourceCase(tuple(Path(image) for image in files["images"]), Path(files["label"]))
            for name, files in sorted(listed.items())
        }
    else:
        training = _cases_of_folder(folder, "imagesTr", "labelsTr", ending)
    test = _cases_of_folder(folder, "imagesTs", "labelsTs", ending) if (folder / "labelsTs").is_dir() else {}
    for name, case in (training | test).items():
        if len(case.images) != channels:
            raise UserError(
                f"case {name} of {folder} has {len(case.images)} image file(s), but {file} names {channels} "
                f"channel(s): add the missing files or correct channel_names"
            )
    return SourceDataset(folder, training, test, dataset_json, ending)


def _cases_of_folder(folder: Path, images: str, labels: str, ending: str) -> dict[str, SourceCase]:
    pattern = re.compile(r"(.+)_\d{4}" + re.escape(ending))
    files: dict[str, list[Path]] = {}
    for file in sorted((folder / images).glob("*")):
        match = pattern.fullmatch(file.name)
        if match:
            files.setdefault(match[1], []).append(file)
    return {name: SourceCase(tuple(paths), folder / labels / (name + ending)) for name, paths in files.items()}


def _read_plain_layout(folder: Path) -> SourceDataset:
    ending = PLAIN_LAYOUT_ENDING
    names = sorted(file.name[: -len(ending)] for file in (folder / "images").glob("*" + ending))
    training = {
        name: SourceCase((folder / "images" / (name + ending),), folder / "labels" / (name + ending)) for name in names
    }
    return SourceDataset(folder, training, {}, None, ending)
