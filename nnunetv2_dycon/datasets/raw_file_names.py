"""How folders and files of nnU-Net's raw datasets are named."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from nnunetv2_dycon.exceptions import is_or_are, listed

LABELED_FOLDER_NAME = "imagesTr"
UNLABELED_FOLDER_NAME = "imagesUnlabeled"


def images_by_case(folder: Path, file_ending: str) -> tuple[dict[str, dict[int, Path]], list[Path]]:
    """The image of each channel of each case, in the order of the channels, and the files that are named otherwise.

    Hidden files, and a file ``CASE.json`` with the spacing of a TIFF, are neither.
    """
    name_pattern = re.compile(rf"(.+)_(\d{{4}}){re.escape(file_ending)}")
    images: dict[str, dict[int, Path]] = {}
    others = []
    for file in sorted(folder.glob("[!.]*")):
        if match := name_pattern.fullmatch(file.name):
            images.setdefault(match[1], {})[int(match[2])] = file
        else:
            others.append(file)
    return images, [file for file in others if file.suffix != ".json" or file.stem not in images]


def cases_with_gaps(images: Mapping[str, Mapping[int, Path]]) -> dict[str, Mapping[int, Path]]:
    """The cases whose channels are not numbered 0, 1 and so on, of what :func:`images_by_case` has found."""
    return {case: files for case, files in images.items() if list(files) != list(range(len(files)))}


def listed_channels(channels: Iterable[int]) -> str:
    """Channels as names of files have them, such as ``0000, 0002``."""
    return listed(f"{channel:04d}" for channel in channels)


def how_to_name(files: Sequence[Path], file_ending: str) -> str:
    """What is wrong with files of ``imagesUnlabeled`` that are not named like scans, and the remedy.

    Args:
        files: at least one. Where some have the file ending, the sentence is on these, else on all.
        file_ending: of the dataset.
    """
    pattern = f"CASE_0000{file_ending} (one file a channel, as in {LABELED_FOLDER_NAME})"
    misnamed = [file for file in files if file.name.lower().endswith(file_ending.lower())]
    of_one_kind = misnamed or files
    names, them = listed(map(str, of_one_kind)), "it" if len(of_one_kind) == 1 else "them"
    elsewhere = f"move {them} out of {UNLABELED_FOLDER_NAME}"
    if misnamed:
        text = f"{names} {is_or_are(misnamed)} not named like a scan of this dataset"
        return f"{text}. Name {them} {pattern}, or {elsewhere}."
    does, if_scan = ("does", "If it is a scan") if len(files) == 1 else ("do", "If they are scans")
    return (
        f"{names} {does} not have this dataset's file ending, {file_ending}. {if_scan}, convert {them} to {pattern}: "
        f"another name is not enough. Otherwise {elsewhere}."
    )


def how_to_rename(file: Path, file_ending: str) -> str:
    """The remedy where a file's number may be that of a scan, not of a channel."""
    name = file.name.removesuffix(file_ending)
    return (
        f"The four digits at the end of a name are the channel: if {file.name} is a whole scan, rename it to "
        f"{name}_0000{file_ending}."
    )


def place_images(images: Mapping[str, Iterable[Path]], folder: Path, ending: str) -> Iterator[tuple[Path, Path]]:
    """Where image files go in a folder of nnU-Net's raw layout.

    Takes the image files of each case, ordered by channel. Yields each with its place, also ``CASE.json`` where it is
    there: nnU-Net reads the spacing of a TIFF from it.
    """
    for identifier, files in images.items():
        for channel, file in enumerate(files):
            yield file, folder / f"{identifier}_{channel:04d}{ending}"
            if channel == 0:
                yield from _place_spacing(file, f"_0000{ending}", folder / f"{identifier}.json")


def place_labels(labels: Mapping[str, Path], folder: Path, ending: str) -> Iterator[tuple[Path, Path]]:
    """Where the label file of each case goes, see :func:`place_images`."""
    for identifier, file in labels.items():
        yield file, folder / f"{identifier}{ending}"
        yield from _place_spacing(file, ending, folder / f"{identifier}.json")


def _place_spacing(file: Path, ending: str, place: Path) -> Iterator[tuple[Path, Path]]:
    spacing = file.with_name(f"{file.name[: -len(ending)]}.json")
    if spacing.is_file():
        yield spacing, place
