"""A folder for an annotation tool: scans, their pre-segmentations, and names and colours of the labels."""

from __future__ import annotations

import colorsys
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nnunetv2_dycon.annotation.candidates import Candidates
from nnunetv2_dycon.datasets.raw_file_names import place_images, place_labels
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.files import copy_files, explained_write_errors, hash_file, written_aside

IMAGES, LABELS, LABEL_NAMES, RECORD = "images", "labels", "labels.txt", "annotation.json"


def refuse_folder_in_use(folder: Path) -> None:
    """Refuse a folder with files in it, which may be someone's work, and a place where none can be made.

    Raises:
        UserError: for either.
    """
    place = next(each for each in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(each))
    if place != folder.absolute() and not (place.is_dir() and os.access(place, os.W_OK)):
        raise UserError(f"{folder} cannot be made in {place}: correct its permissions, or name another --annotate.")
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(
            f"{folder} is there and not empty, and annotations in it could be lost: name another folder with "
            "--annotate."
        )


def write_annotation_folder(
    folder: Path, cases: Sequence[str], candidates: Candidates, predictions: Path, labels: Mapping[str, Any]
) -> None:
    """Copy scans and pre-segmentations into a new folder.

    It gets ``images/CASE_0000``, ``labels/CASE`` to correct, ``labels.txt`` with the labels' names and colours (a label
    description file of ITK-SNAP), and ``annotation.json``, by which add-labels tells what has been changed.

    Args:
        folder: to make; empty where it is there.
        cases: unlabeled cases.
        candidates: with the image files.
        predictions: the folder with the segmentation of each case.
        labels: of dataset.json.

    Raises:
        UserError: when the folder is in use or cannot be written to.
    """
    refuse_folder_in_use(folder)
    ending = candidates.file_ending
    images = {case: candidates.unlabeled[case].images for case in cases}
    segmentations = {case: predictions / f"{case}{ending}" for case in cases}
    record = {
        "dataset": candidates.dataset,
        "cases": {case: {"pre_segmentation_sha256": hash_file(file)} for case, file in segmentations.items()},
    }
    with explained_write_errors(folder), written_aside(folder) as partial:
        copy_files(place_images(images, partial / IMAGES, ending))
        copy_files(place_labels(segmentations, partial / LABELS, ending))
        (partial / LABEL_NAMES).write_text(_label_descriptions(labels), encoding="utf-8")
        (partial / RECORD).write_text(json.dumps(record, indent=1))


def names_of_values(labels: Mapping[str, Any]) -> dict[int, str]:
    """The name of each value that a label file may hold, in order; of nested regions that of the smallest."""
    sets = {name: set(value) if isinstance(value, list) else {value} for name, value in labels.items()}
    values = sorted(set().union(*sets.values()))
    return {
        value: min((name for name in sets if value in sets[name]), key=lambda name: len(sets[name])) for value in values
    }


def _label_descriptions(labels: Mapping[str, Any]) -> str:
    """A file that ITK-SNAP reads: index, red, green, blue, opacity, visibility, mesh visibility and name of a label."""
    names = names_of_values(labels)
    lines = ["# ITK-SnAP Label Description File"]
    for value, name in names.items():
        if value == 0:
            lines.append('0 0 0 0 0 0 0 "Clear Label"')
            continue
        # Hues that stay far apart however many there are.
        rgb = colorsys.hsv_to_rgb(value * 0.618 % 1, 0.75, 0.95)
        red, green, blue = (round(255 * channel) for channel in rgb)
        lines.append(f'{value} {red} {green} {blue} 1 1 1 "{name}"')
    return "\n".join(lines) + "\n"
