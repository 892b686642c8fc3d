"""Structures that have one connected component in every labeled case: predictions of them keep their largest alone.

What a model of few labels takes for an organ somewhere else, such as the liver for the heart, would be taught to the
next model. nnU-Net removes such components from predictions where that raises the Dice of a cross-validation
(``determine_postprocessing``). Few labels give no cross-validation to go by, but the labels themselves tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage
from tqdm import tqdm

from nnunetv2_dycon.datasets.label_maps import read_label_map
from nnunetv2_dycon.exceptions import counted

# With fewer cases that show it, chance may be why none has a second component.
_FEWEST_CASES = 4
# Of a structure's voxels: stray voxels of an annotator's brush are no second component.
_LEAST_SHARE = 0.99
# Of a class's voxels in the largest component of the foreground: with fewer, that class is somewhere else.
_LEAST_SHARE_OF_CLASS = 0.1

Structure = tuple[int, ...]
"""The values of a structure in label maps: those of one class, or of all."""


def structures_of(dataset_json: dict[str, Any]) -> list[Structure]:
    """The foreground as a whole, then each class; of a region-based dataset the former alone, as regions overlap."""
    labels = [value for name, value in dataset_json["labels"].items() if name != "ignore"]
    values = sorted({int(value) for value in np.hstack(labels)} - {0})
    has_regions = any(isinstance(value, Sequence) and len(value) > 1 for value in labels)
    return [tuple(values), *([] if has_regions or len(values) == 1 else [(value,) for value in values])]


def structure_names(structures: Sequence[Structure], dataset_json: dict[str, Any]) -> list[str]:
    """Classes by their names in dataset.json, and the foreground as a whole."""
    labels = dataset_json["labels"]
    names: dict[Structure, str] = {tuple(np.unique(value).tolist()): name for name, value in labels.items()}
    return [names[structure] if len(structure) == 1 else "the whole foreground" for structure in structures]


def read_labels(files: Mapping[str, Path]) -> Iterator[tuple[str, np.ndarray]]:
    """Read the label maps of labeled cases, given by name, one after the other, with a progress bar.

    Raises:
        UserError: for a file that is missing or damaged.
    """
    for case, file in tqdm(files.items(), desc="Reading labels"):
        yield case, read_label_map(file, "replace it")


def structures_of_one_component(
    label_maps: Iterable[tuple[str, np.ndarray]], dataset_json: dict[str, Any]
) -> list[Structure]:
    """The structures against which :func:`reasons_against_one_component` finds nothing."""
    reasons = reasons_against_one_component(label_maps, dataset_json)
    return [structure for structure, reason in reasons.items() if not reason]


def reasons_against_one_component(
    label_maps: Iterable[tuple[str, np.ndarray]], dataset_json: dict[str, Any]
) -> dict[Structure, str]:
    """Whether labels say of a structure that it has one connected component.

    Voxels that touch at a corner are connected, as in nnU-Net. A component of 99 % of a structure counts as all of it.

    Args:
        label_maps: of the labeled cases, with their names.
        dataset_json: nnU-Net's, for the labels.

    Returns:
        For each of :func:`structures_of`, why it cannot be said, in words: a label map has several components, fewer
        than four show the structure, or one has ignored voxels, where nobody knows what is there. Empty where it can.
    """
    cases = dict.fromkeys(structures_of(dataset_json), 0)
    several: dict[Structure, str] = {}
    ignored = dataset_json["labels"].get("ignore")
    for case, label_map in label_maps:
        if ignored is not None and (label_map == ignored).any():
            return dict.fromkeys(cases, f"{case} has ignored voxels")
        boxes = _boxes(label_map, cases)
        for structure in cases.keys() - several.keys():
            *_, sizes = _components(label_map, structure, boxes)
            if len(sizes) > 0 and sizes.max() < _LEAST_SHARE * sizes.sum():
                several[structure] = f"{case} has {len(sizes)} components"
            cases[structure] += len(sizes) > 0
        if len(several) == len(cases):
            # The other labels cannot change that.
            break
    few = {
        structure: f"{counted(number, 'case')} of at least {_FEWEST_CASES}"
        for structure, number in cases.items()
        if number < _FEWEST_CASES
    }
    return {structure: several.get(structure) or few.get(structure, "") for structure in cases}


def keep_largest_components(label_map: np.ndarray, structures: Sequence[Structure]) -> np.ndarray:
    """A label map in which each of the structures has its largest component alone; the others are background.

    As nnU-Net's ``remove_all_but_largest_component_from_segmentation``, but that no class is lost: where less than a
    tenth of a class is in the largest component of several classes, the one that has most of that class stays too. A
    gap of a voxel between two organs that touch each other is no reason to call one of them background.

    Args:
        label_map: of any shape; it stays as it is.
        structures: in the order in which they are looked at.
    """
    label_map = label_map.copy()
    for structure in structures:
        box, components, sizes = _components(label_map, structure, _boxes(label_map, structures))
        if len(sizes) < 2:
            continue
        kept = {1 + int(sizes.argmax())}
        for value in structure if len(structure) > 1 else ():
            of_class = np.bincount(components[label_map[box] == value], minlength=len(sizes) + 1)
            if of_class[list(kept)].sum() < _LEAST_SHARE_OF_CLASS * of_class.sum():
                kept.add(int(of_class.argmax()))
        label_map[box][(components > 0) & ~np.isin(components, list(kept))] = 0
    return label_map


def _boxes(label_map: np.ndarray, structures: Iterable[Structure]) -> list[tuple[slice, ...] | None]:
    """The box around each class from 1 on; None where there is none of it."""
    largest = max((value for structure in structures for value in structure), default=0)
    return ndimage.find_objects(label_map if label_map.dtype.kind in "iu" else label_map.astype(np.int32), largest)


def _components(
    label_map: np.ndarray, structure: Structure, boxes: Sequence[tuple[slice, ...] | None]
) -> tuple[tuple[slice, ...], np.ndarray, np.ndarray]:
    """The box around a structure, its components in that box, numbered from 1 on, and the voxels of each."""
    found = [box for value, box in enumerate(boxes, start=1) if value in structure and box is not None]
    # Of a structure that is not there, an empty one.
    box = tuple(slice(min(s.start for s in axis), max(s.stop for s in axis)) for axis in zip(*found, strict=True))
    box = box or (slice(0),) * label_map.ndim
    crop = label_map[box]
    mask = crop == structure[0] if len(structure) == 1 else np.isin(crop, structure)
    components, _ = ndimage.label(mask, ndimage.generate_binary_structure(mask.ndim, mask.ndim))
    return box, components, np.bincount(components.ravel(), minlength=1)[1:]
