"""Cases of a raw dataset: labeled, for testing, and unlabeled. No scan and no label is opened here."""

from __future__ import annotations

import copy
import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

from nnunetv2_dycon.datasets.names import is_file_name
from nnunetv2_dycon.datasets.raw_file_names import (
    LABELED_FOLDER_NAME,
    UNLABELED_FOLDER_NAME,
    cases_with_gaps,
    how_to_name,
    how_to_rename,
    images_by_case,
    listed_channels,
)
from nnunetv2_dycon.datasets.schemas import FILE_NAME, check_dataset_json
from nnunetv2_dycon.exceptions import UserError, counted
from nnunetv2_dycon.json_files import read_json_file

PLAIN_LAYOUT_ENDING = ".nii.gz"


@dataclass(frozen=True)
class LabeledCase:
    """Files of a labeled case: its images ordered by channel, and where its label should be (nobody has looked)."""

    images: tuple[Path, ...]
    label: Path


@dataclass(frozen=True)
class LabeledDataset:
    """A labeled dataset on disk: its cases by name, sorted, and ``dataset.json``, None in the layout without one.

    Without a labeled test set there are no test cases.
    """

    folder: Path
    training: dict[str, LabeledCase]
    test: dict[str, LabeledCase]
    dataset_json: dict[str, Any] | None
    file_ending: str

    @property
    def cases(self) -> dict[str, LabeledCase]:
        """All cases by name."""
        return self.training | self.test


@dataclass(frozen=True)
class UnlabeledCase:
    """An unlabeled case of a raw dataset with its image files, ordered by channel.

    The source is ``imagesUnlabeled``, or ``imagesTr`` for a case that splits_final.json puts off limits.
    """

    identifier: str
    images: tuple[Path, ...]
    source: str

    @property
    def files(self) -> tuple[Path, ...]:
        """All raw files: the images, and ``CASE.json`` beside them where nnU-Net reads a TIFF's spacing from it."""
        spacing = self.images[0].with_name(f"{self.identifier}.json")
        return (*self.images, spacing) if spacing.is_file() else self.images


def read_labeled_dataset(folder: Path) -> LabeledDataset:
    """List the cases of a labeled dataset.

    Two layouts are understood: nnU-Net's raw layout (``dataset.json``, ``imagesTr``, ``labelsTr`` and, for a labeled
    test set, ``imagesTs`` with ``labelsTs``; or the file lists in ``dataset.json`` that nnU-Net supports), and a plain
    one with ``images/NAME.nii.gz`` and ``labels/NAME.nii.gz``. Label files are not looked for.

    Raises:
        UserError: if the folder has neither layout, has no images, channels of a case are missing, dataset.json is not
            as nnU-Net reads it, or a case has a name that is not safe as that of a file.
    """
    images, labels, ending = folder / "images", folder / "labels", PLAIN_LAYOUT_ENDING
    if (folder / "dataset.json").is_file():
        dataset = _read_raw_layout(folder)
    elif images.is_dir() and labels.is_dir():
        names = sorted(file.name.removesuffix(ending) for file in images.glob(f"[!.]*{ending}"))
        training = {name: LabeledCase((images / (name + ending),), labels / (name + ending)) for name in names}
        dataset = LabeledDataset(folder, training, {}, None, ending)
    else:
        raise UserError(
            f"{folder} is no labeled dataset: it needs dataset.json, imagesTr and labelsTr (nnU-Net's raw layout), "
            f"or images/NAME{ending} and labels/NAME{ending}"
        )
    _refuse_unsafe_names(dataset.cases, folder)
    if not dataset.training:
        raise UserError(f"{folder} has no training images with the file ending {dataset.file_ending}")
    if twice := sorted(dataset.training.keys() & dataset.test.keys()):
        raise UserError(f"{folder} has the case {twice[0]} both in imagesTr and in imagesTs: rename or remove one")
    return dataset


def dataset_json_of(dataset: LabeledDataset) -> dict[str, Any]:
    """The ``dataset.json`` of a labeled dataset; a UserError in the layout without one."""
    if dataset.dataset_json is None:
        raise UserError(f"{dataset.folder} has no dataset.json: bring it into nnU-Net's raw layout first")
    return dataset.dataset_json


def number_of_channels(dataset_json: Mapping[str, Any]) -> int:
    """How many channels each case has, by ``channel_names`` or, in old datasets, ``modality`` of dataset.json."""
    return len(dataset_json["channel_names"] if "channel_names" in dataset_json else dataset_json["modality"])


def may_hold_several_channels(file_ending: str) -> bool:
    """Whether a file can hold several channels, as natural images do (RGB); only reading it tells how many."""
    return file_ending.lower() in NaturalImage2DIO.supported_file_endings


def files_per_case(labeled: Iterable[Sequence[Path]], dataset_json: Mapping[str, Any]) -> int:
    """How many image files each case has: one a channel, or fewer where most labeled cases have fewer."""
    channels, found = number_of_channels(dataset_json), Counter(map(len, labeled))
    if not found or not may_hold_several_channels(dataset_json["file_ending"]):
        return channels
    return min(max(found, key=lambda number: (found[number], number)), channels)


def labeled_images(raw_dataset_folder: Path, dataset_json: dict[str, Any]) -> dict[str, tuple[Path, ...]]:
    """The image files of each labeled case, ordered by channel, as nnU-Net finds them; nothing of the labels."""
    return {identifier: case.images for identifier, case in _training_cases(raw_dataset_folder, dataset_json).items()}


def missing_labels(raw_dataset_folder: Path, dataset_json: dict[str, Any]) -> dict[str, Path]:
    """The label files that are not there, by labeled case. None is opened."""
    cases = _training_cases(raw_dataset_folder, dataset_json)
    return {identifier: case.label for identifier, case in cases.items() if not case.label.is_file()}


def misnamed_labeled_images(raw_dataset_folder: Path, dataset_json: Mapping[str, Any]) -> list[Path]:
    """The files of ``imagesTr`` that have the file ending and are not named like a scan."""
    if "dataset" in dataset_json:
        return []
    ending = dataset_json["file_ending"]
    _, others = images_by_case(raw_dataset_folder / LABELED_FOLDER_NAME, ending)
    return [file for file in others if file.name.endswith(ending)]


def files_of_other_endings(raw_dataset_folder: Path, dataset_json: Mapping[str, Any]) -> list[Path]:
    """The files of ``imagesTr`` that nnU-Net passes over, since they have another file ending than the dataset's."""
    if "dataset" in dataset_json:
        return []
    ending = dataset_json["file_ending"]
    _, others = images_by_case(raw_dataset_folder / LABELED_FOLDER_NAME, ending)
    return [file for file in others if not file.name.endswith(ending)]


def channel_gaps(raw_dataset_folder: Path, dataset_json: Mapping[str, Any]) -> dict[str, Mapping[int, Path]]:
    """The files by channel of each case of ``imagesTr`` whose numbers have a gap, which nnU-Net takes as they come."""
    if "dataset" in dataset_json:
        return {}
    images, _ = images_by_case(raw_dataset_folder / LABELED_FOLDER_NAME, dataset_json["file_ending"])
    return cases_with_gaps(images)


def find_unlabeled_cases(raw_dataset_folder: Path, file_ending: str) -> list[UnlabeledCase]:
    """List the cases of ``imagesUnlabeled``, sorted by identifier; none where there is no such folder.

    Hidden files, and a file ``CASE.json`` with the spacing of a TIFF, are not scans.

    Raises:
        UserError: for a file that is not named ``CASE_XXXX`` plus the file ending, a name that is not safe as that of a
            file, and a gap in a case's channels.
    """
    folder = raw_dataset_folder / UNLABELED_FOLDER_NAME
    images, others = images_by_case(folder, file_ending)
    if others:
        raise UserError(how_to_name(others, file_ending))
    _refuse_unsafe_names(images, folder)
    for identifier, files in cases_with_gaps(images).items():
        raise UserError(
            f"{folder}/{identifier}* has the channels {listed_channels(files)}: some are missing. Add the missing "
            f"files or remove the case. {how_to_rename(next(iter(files.values())), file_ending)}"
        )
    return _unlabeled_cases(images)


def unlabeled_cases_as_named(raw_dataset_folder: Path, file_ending: str) -> list[UnlabeledCase]:
    """As :func:`find_unlabeled_cases`, but what it refuses is left out, or taken with the channels that it has."""
    images, _ = images_by_case(raw_dataset_folder / UNLABELED_FOLDER_NAME, file_ending)
    return _unlabeled_cases(images)


def _unlabeled_cases(images: Mapping[str, Mapping[int, Path]]) -> list[UnlabeledCase]:
    return [UnlabeledCase(case, tuple(files.values()), UNLABELED_FOLDER_NAME) for case, files in sorted(images.items())]


def surplus_files(case: UnlabeledCase, dataset_json: Mapping[str, Any]) -> str | None:
    """A sentence on the image files of a case beyond the channels of dataset.json; None where there are none."""
    channels = number_of_channels(dataset_json)
    surplus = case.images[channels:]
    if not surplus:
        return None
    files = ", ".join(map(str, surplus))
    are, them = ("is a channel", "it") if len(surplus) == 1 else ("are channels", "them")
    return (
        f"{files} {are} beyond the {channels} that dataset.json declares: remove {them}. "
        f"{how_to_rename(surplus[0], dataset_json['file_ending'])}"
    )


def misnamed_unlabeled_folder(raw_dataset_folder: Path) -> str | None:
    """A question after the folder that may be meant where there is no ``imagesUnlabeled``; None where there is none."""
    if not raw_dataset_folder.is_dir() or (raw_dataset_folder / UNLABELED_FOLDER_NAME).exists():
        return None
    names = {re.sub(r"[^a-z]", "", file.name.lower()): file for file in raw_dataset_folder.iterdir() if file.is_dir()}
    close = difflib.get_close_matches(UNLABELED_FOLDER_NAME.lower(), names, n=1, cutoff=0.8)
    close = close or sorted(name for name in names if re.search("unlab|unann", name))
    if not close:
        return None
    return f"Did you mean {names[close[0]]}? Its name must be {UNLABELED_FOLDER_NAME}: rename it."


def find_off_limits_cases(
    raw_dataset_folder: Path, dataset_json: dict[str, Any], identifiers: Iterable[str]
) -> list[UnlabeledCase]:
    """Find the images of the cases that splits_final.json lists under ``"unlabeled"``, sorted by identifier.

    Raises:
        UserError: when the labeled folder has no such case.
    """
    wanted = sorted(set(identifiers))
    available = labeled_images(raw_dataset_folder, dataset_json) if wanted else {}
    if missing := [identifier for identifier in wanted if identifier not in available]:
        raise UserError(
            f'splits_final.json lists {", ".join(missing)} under "unlabeled", but {raw_dataset_folder} has no such '
            "training case. Correct the names in splits_final.json."
        )
    return [UnlabeledCase(identifier, available[identifier], LABELED_FOLDER_NAME) for identifier in wanted]


def _read_raw_layout(folder: Path) -> LabeledDataset:
    file = folder / "dataset.json"
    dataset_json = read_json_file(file)
    check_dataset_json(dataset_json, str(file))
    training = dict(sorted(_training_cases(folder, dataset_json).items()))
    ending, channels = dataset_json["file_ending"], number_of_channels(dataset_json)
    files = files_per_case((case.images for case in training.values()), dataset_json)
    test = _cases_of_folder(folder, "imagesTs", "labelsTs", ending) if (folder / "labelsTs").is_dir() else {}
    for name, case in (training | test).items():
        if len(case.images) != files:
            has = f"case {name} of {folder} has {counted(len(case.images), 'image file')}"
            if files < channels:
                raise UserError(f"{has}, and most labeled cases have {files}: correct the files of one or the others")
            raise UserError(
                f"{has}, but {file} names {counted(channels, 'channel')}: add the missing files or correct "
                "channel_names"
            )
    return LabeledDataset(folder, training, test, dataset_json, ending)


def _training_cases(folder: Path, dataset_json: dict[str, Any]) -> dict[str, LabeledCase]:
    if "dataset" not in dataset_json:
        return _cases_of_folder(folder, LABELED_FOLDER_NAME, "labelsTr", dataset_json["file_ending"])
    # nnU-Net replaces the entries in place.
    listed = get_filenames_of_train_images_and_targets(str(folder), copy.deepcopy(dataset_json))
    return {
        name: LabeledCase(tuple(Path(image) for image in files["images"]), Path(files["label"]))
        for name, files in listed.items()
    }


def _cases_of_folder(folder: Path, images: str, labels: str, ending: str) -> dict[str, LabeledCase]:
    cases, _ = images_by_case(folder / images, ending)
    return {
        case: LabeledCase(tuple(files.values()), folder / labels / (case + ending)) for case, files in cases.items()
    }


def _refuse_unsafe_names(cases: Iterable[str], folder: Path) -> None:
    if unsafe := [case for case in cases if not is_file_name(case)]:
        raise UserError(f"{folder} has the case {unsafe[0]!r}: rename it to {FILE_NAME.description}.")
