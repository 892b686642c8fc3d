"""Finding scans that are there twice, by what is in them: under two names, or unlabeled and labeled."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import blosc2
import numpy as np

from nnunetv2_dycon.exceptions import listed
from nnunetv2_dycon.preprocessing.case_stamp import read_stamp, sample_image

_RELATIVE_TOLERANCE = 1e-3
# As nnU-Net has it: faster, and not possible on Windows.
_MMAP = {} if os.name == "nt" else {"mmap_mode": "r"}


@dataclass(frozen=True)
class _Content:
    shape: tuple[int, ...]
    sample: tuple[float, ...]


@dataclass(frozen=True)
class Copies:
    """Unlabeled scans that are there twice, each with the case that it is a copy of.

    Attributes:
        labeled: copies of labeled cases.
        unlabeled: copies of unlabeled cases whose names come first.
    """

    labeled: dict[str, str]
    unlabeled: dict[str, str]


def find_copies(folder: Path, identifiers: Iterable[str], labeled_folder: Path, labeled: Iterable[str]) -> Copies:
    """Compare preprocessed unlabeled scans with each other and with labeled ones.

    Scans of one shape are compared at 48 places of each channel (see sample_image), to a thousandth of their range:
    whatever format, compression or header the raw file has, a copy of it is found. Of the labeled cases nothing but
    the image is opened, and of the unlabeled ones the stamp alone.

    Args:
        folder: of the unlabeled cases.
        identifiers: those to compare; cases without a stamp are left out.
        labeled_folder: where nnU-Net has preprocessed the labeled cases by the same plans.
        labeled: those to compare; cases that are not there as Blosc2 files are left out.
    """
    stamps = ((case, read_stamp(folder, case)) for case in sorted(identifiers))
    unlabeled = {case: _Content(stamp.shape, stamp.sample) for case, stamp in stamps if stamp is not None}
    shapes = {content.shape for content in unlabeled.values()}
    names = _first_equal(unlabeled, unlabeled)
    labels = _first_equal(unlabeled, dict(_labeled_contents(labeled_folder, labeled, shapes)))
    return Copies(labels, {case: other for case, other in names.items() if other != case})


def describe_copies(copies: Copies, validation: Collection[str] | None = None) -> Iterator[str]:
    """A line for each kind of copies that there are.

    Args:
        copies: what was found.
        validation: the cases that the fold validates on; None where no fold is meant.
    """
    validated = {case: other for case, other in copies.labeled.items() if validation and other in validation}
    labeled = {case: other for case, other in copies.labeled.items() if case not in validated}
    remedy = "remove them from imagesUnlabeled."
    if validated:
        yield (
            f"{_are_copies(validated, 'validation case')}: training sees scans that it is validated "
            f"on, so its scores are too good; {remedy}"
        )
    if labeled:
        harm = " and a fold that validates on them is not honest" if validation is None else ""
        yield f"{_are_copies(labeled, 'labeled case')}: they teach nothing new{harm}; {remedy}"
    if copies.unlabeled:
        yield f"{_are_copies(copies.unlabeled, 'other unlabeled scan')}; {remedy}"


def _labeled_contents(
    folder: Path, identifiers: Iterable[str], shapes: set[tuple[int, ...]]
) -> Iterator[tuple[str, _Content]]:
    for identifier in sorted(identifiers):
        file = folder / f"{identifier}.b2nd"
        if not file.is_file():
            continue
        try:
            image = blosc2.open(str(file), mode="r", **_MMAP)
        except RuntimeError:
            # Not ours to judge: nnU-Net opens it next.
            continue
        if tuple(image.shape) in shapes:
            yield identifier, _Content(tuple(image.shape), sample_image(image))


def _first_equal(contents: Mapping[str, _Content], others: Mapping[str, _Content]) -> dict[str, str]:
    """For each content the first of the others that equals it, for those that have one."""
    by_shape: dict[tuple[int, ...], list[str]] = {}
    for name, other in others.items():
        by_shape.setdefault(other.shape, []).append(name)
    samples = {shape: np.array([others[name].sample for name in names]) for shape, names in by_shape.items()}
    found = {}
    for name, content in contents.items():
        sample = np.array(content.sample)
        spread = np.ptp(sample)
        if content.shape in samples and spread > 0:
            is_equal = np.abs(samples[content.shape] - sample).max(axis=1) <= _RELATIVE_TOLERANCE * spread
            if is_equal.any():
                found[name] = by_shape[content.shape][int(is_equal.argmax())]
    return found


def _are_copies(copies: Mapping[str, str], what: str) -> str:
    if len(copies) == 1:
        are, of = "1 unlabeled scan is a copy", "another unlabeled scan" if what.startswith("other") else f"a {what}"
    else:
        are, of = f"{len(copies)} unlabeled scans are copies", f"{what}s"
    return f"{are} of {of} ({listed(f'{case} of {other}' for case, other in sorted(copies.items()))})"
