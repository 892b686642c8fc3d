"""Forms in which people have a data set on disk, and the cases that a folder has in one of them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import SimpleITK as sitk

from nnunetv2_dycon.exceptions import UserError

Read = Callable[[Sequence[Path]], sitk.Image]


@dataclass(frozen=True)
class SourceCase:
    """Files of a case: those of its scan, in order, and those of its label, which need not be there."""

    images: tuple[Path, ...]
    labels: tuple[Path, ...]


Cases = dict[str, SourceCase]


@dataclass(frozen=True)
class SourceFormat:
    """A form in which a data set lies on disk.

    Attributes:
        name: what ``--format`` takes.
        layout: the files, in words.
        image_pattern: of the path of a file of a scan within the source, with the group ``case``, or with the group
            ``number`` where names differ between splits in what comes before the number. A group ``slice`` numbers the
            slices of a scan that is not in one file.
        label_pattern: of a file of a label, likewise; None: labels are in the files of the scans.
        read_image: reads the files of a scan.
        read_label: reads the files of a label.
        channel_name: nnU-Net's, by which it normalises.
        label_values: from values in the files to those in the dataset.
        assumed_spacing: in mm, in the order (x, y, z), where the files have none.
        is_series: whether all files that fit are those of one scan, as slices of a DICOM series are.
        rename: gives cases the names of the published lists, where files have others.
        split: the one split whose names these files have; None: those of all splits.
        notes: sentences that whoever uses the files has to know.
    """

    name: str
    layout: str
    image_pattern: str
    label_pattern: str | None
    read_image: Read
    read_label: Read
    channel_name: str
    label_values: Mapping[int, int]
    assumed_spacing: tuple[float, float, float] | None = None
    is_series: bool = False
    rename: Callable[[Cases], Cases] | None = None
    split: str | None = None
    notes: tuple[str, ...] = field(default=())


def list_files(source: Path) -> list[Path]:
    """All files of a folder and its folders that are not hidden, relative to it, sorted.

    Raises:
        UserError: when it is no folder.
    """
    if not source.is_dir():
        raise UserError(f"{source} is no folder: name the folder with the files of the data set")
    found = []
    for folder, folders, files in os.walk(source, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [(Path(folder) / name).relative_to(source) for name in files if not name.startswith(".")]
    return sorted(found)


def find_cases(source: Path, files: Iterable[Path], source_format: SourceFormat, prefix: str) -> Cases:
    """The cases that a folder has in a format, by the names of the published lists.

    Args:
        source: the folder.
        files: in it, as :func:`list_files` gives them.
        source_format: the format.
        prefix: what the names of the published lists begin with before a number.

    Raises:
        UserError: when two files could be the same, or slices are missing.
    """
    files = list(files)
    images = _group(source, files, source_format.image_pattern, prefix, source_format.is_series)
    labels = images
    if source_format.label_pattern is not None:
        labels = _group(source, files, source_format.label_pattern, prefix, is_series=False)
    cases = {case: SourceCase(found, labels.get(case, ())) for case, found in images.items()}
    return cases if source_format.rename is None else source_format.rename(cases)


def _group(
    source: Path, files: Iterable[Path], pattern: str, prefix: str, is_series: bool
) -> dict[str, tuple[Path, ...]]:
    """The files that fit a pattern, by case, and in the order of their slices."""
    found: dict[str, list[tuple[int | None, Path]]] = {}
    for file in files:
        if match := re.fullmatch(rf"(?:.*/)?{pattern}", file.as_posix()):
            groups = match.groupdict()
            case = groups["case"] if "case" in groups else prefix + groups["number"]
            number = groups.get("slice")
            found.setdefault(case, []).append((None if number is None else int(number), source / file))
    if is_series:
        return {case: tuple(file for _, file in numbered) for case, numbered in found.items()}
    return {case: _in_order(case, numbered) for case, numbered in found.items()}


def _in_order(case: str, numbered: list[tuple[int | None, Path]]) -> tuple[Path, ...]:
    """The one file with a volume or, where there is none, the slices."""
    volumes = [file for number, file in numbered if number is None]
    slices = sorted((number, file) for number, file in numbered if number is not None)
    twice = volumes if volumes else [file for number, file in slices if [n for n, _ in slices].count(number) > 1]
    if len(twice) > 1:
        raise UserError(f"{twice[0]} and {twice[1]} are both files of {case}: move one of the two out of the folder")
    if volumes:
        return tuple(volumes)
    numbers = [number for number, _ in slices]
    missing = sorted(set(range(min(numbers[0], 1), numbers[-1] + 1)) - set(numbers))
    if missing:
        raise UserError(f"slice {missing[0]} of {case} is missing beside {slices[0][1]}: add it")
    return tuple(file for _, file in slices)
