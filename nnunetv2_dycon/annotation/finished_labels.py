"""Labels that come back from an annotation tool: which are finished, and whether they fit scan and dataset."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.imageio.base_reader_writer import BaseReaderWriter
from nnunetv2.imageio.reader_writer_registry import LIST_OF_IO_CLASSES, recursive_find_reader_writer_by_name

from nnunetv2_dycon.annotation.annotation_folder import LABELS, RECORD
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.files import hash_file
from nnunetv2_dycon.json_files import TEXT, mapping_of, read_json_file, record
from nnunetv2_dycon.preprocessing.nifti_integrity import READING_ERRORS, check_nifti

# Annotation tools write headers anew, rounded: corners of scan and label may lie this far apart, in voxels.
_TOLERANCE = 0.1
_RECORD = record({"dataset": TEXT, "cases": mapping_of(record({"pre_segmentation_sha256": TEXT}))})


@dataclass(frozen=True)
class FinishedLabels:
    """The label files in a folder.

    Attributes:
        finished: by case, sorted.
        unchanged: cases whose file is still the pre-segmentation that rank wrote.
        others: visible files and folders that are no labels of the dataset's file ending.
    """

    finished: dict[str, Path]
    unchanged: list[str] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)


def find_finished_labels(folder: Path, file_ending: str, dataset: str, named: Sequence[str] = ()) -> FinishedLabels:
    """List the labels of a folder, ``CASE`` plus file ending, in it or in its folder ``labels``.

    Args:
        folder: that rank made with --annotate, or any other.
        file_ending: of the dataset.
        dataset: its full name; a folder that was made for another is refused.
        named: cases to take, also unchanged; where empty, all that have changed.

    Raises:
        UserError: for a folder that is not there, has no label or is another dataset's, and for named cases that are
            not in it.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: name the one with the finished labels after -i.")
    written = read_json_file(folder / RECORD, _RECORD) if (folder / RECORD).is_file() else None
    if written is not None and written["dataset"] != dataset:
        raise UserError(f"{folder} was made for {written['dataset']}, not for {dataset}: correct -d or -i.")
    place = folder / LABELS if (folder / LABELS).is_dir() else folder
    files = sorted(place.glob("[!.]*"))
    labels = {file.name.removesuffix(file_ending): file for file in files if file.name.endswith(file_ending)}
    if wrong := [file for file in labels.values() if not file.is_file()]:
        reason = "is a folder" if wrong[0].is_dir() else "is a link to a file that is not there"
        raise UserError(f"{wrong[0]} {reason}: replace it by the label, or remove it.")
    # TIFFs have their spacing beside them.
    others = [file for file in files if not file.name.endswith(file_ending) and file.stem not in labels]
    if place == folder:
        others = [file for file in others if file.name != RECORD]
    if missing := [case for case in named if case not in labels]:
        raise UserError(f"{place / (missing[0] + file_ending)} is not there: correct --cases or -i.")
    if not labels:
        found = f", but {others[0].name}" if others else ""
        raise UserError(
            f"{place} has no label named CASE{file_ending}{found}: name the folder with the finished labels after -i, "
            "and save them with the dataset's file ending."
        )
    if named:
        return FinishedLabels({case: labels[case] for case in sorted(set(named))}, [], others)
    unchanged = []
    for case, of_case in ({} if written is None else written["cases"]).items():
        if case in labels and hash_file(labels[case]) == of_case["pre_segmentation_sha256"]:
            unchanged.append(case)
    finished = {case: file for case, file in labels.items() if case not in unchanged}
    return FinishedLabels(finished, sorted(unchanged), others)


def check_label(file: Path, images: Sequence[Path], dataset_json: dict[str, Any]) -> None:
    """Read a label and its scan, and see that nnU-Net can train on them.

    Args:
        file: of the label.
        images: of the scan, ordered by channel.
        dataset_json: of the dataset.

    Raises:
        UserError: for a file that is damaged, channels that do not fit each other, a label of several channels or of
            another shape, spacing, origin or direction than the scan's, values that are not labels of dataset.json, and
            a label that says nothing, since all of it is the ignore label.
    """
    image, *_ = images
    reader = _find_reader(dataset_json, image)
    scan, properties = reader.read_images([str(image)])
    for further in images[1:]:
        _refuse_another_shape(reader, image, scan.shape[1:], further)
    try:
        check_nifti(file)
        label, label_properties = reader.read_seg(str(file))
    except UserError as error:
        raise UserError(f"{file} {error}: save it as whole numbers.") from error
    except READING_ERRORS as error:
        raise UserError(f"{file} cannot be read ({_reason(error)}): save it again with the annotation tool.") from error
    if len(label) != 1:
        raise UserError(
            f"{file} has {len(label)} channels, as images in colour do: save it with one whole number a voxel."
        )
    if scan.shape[1:] != label.shape[1:]:
        raise UserError(
            f"{file} has {_times(label.shape[1:])} voxels and its scan {image.name} {_times(scan.shape[1:])}: annotate "
            "on the scan's own grid."
        )
    _check_geometry(file, scan.shape[1:], _affine(properties), _affine(label_properties))
    allowed = sorted(set(np.hstack(list(dataset_json["labels"].values())).astype(int).tolist()))
    if unknown := [value for value in np.unique(label).tolist() if value not in allowed]:
        raise UserError(
            f"{file} holds the value {unknown[0]:g}, and dataset.json has the labels "
            f"{', '.join(map(str, allowed))}: correct the annotation."
        )
    ignored = dataset_json["labels"].get("ignore")
    if ignored is not None and (label == ignored).all():
        raise UserError(f"{file} holds nothing but the ignore label: annotate some of it, or leave it out.")


def _refuse_another_shape(reader: BaseReaderWriter, first: Path, shape: Sequence[int], further: Path) -> None:
    """Refuse a channel that cannot be read or has another shape than the first."""
    try:
        check_nifti(further)
        own = reader.read_images([str(further)])[0].shape[1:]
    except (UserError, *READING_ERRORS) as error:
        raise UserError(f"{further} cannot be read ({_reason(error)}): replace the scan.") from error
    if own != shape:
        raise UserError(f"{further} has {_times(own)} voxels and {first.name} {_times(shape)}: replace one of the two.")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _find_reader(dataset_json: dict[str, Any], image: Path) -> BaseReaderWriter:
    """The reader that nnU-Net takes for a dataset, which can read this scan."""
    name = dataset_json.get("overwrite_image_reader_writer")
    # nnU-Net has both for none.
    if name not in (None, "None"):
        try:
            classes = [recursive_find_reader_writer_by_name(name)]
        except RuntimeError as error:
            raise UserError(f"dataset.json names the reader {name}, which nnU-Net lacks: correct it.") from error
    else:
        ending = dataset_json["file_ending"].lower()
        classes = [each for each in LIST_OF_IO_CLASSES if ending in each.supported_file_endings]
    reason = "nnU-Net has no reader for its file ending"
    for reader in classes:
        try:
            reader().read_images([str(image)])
        except READING_ERRORS as error:
            reason = _reason(error)
        else:
            return reader()
    raise UserError(f"{image} cannot be read ({reason}): replace the scan.")


def _affine(properties: dict[str, Any]) -> np.ndarray:
    """From indices (x, y, z, 1) to mm, by what nnU-Net's readers return; (4, 4), or (3, 3) for a 2D image of ITK."""
    if "nibabel_stuff" in properties:
        return np.asarray(properties["nibabel_stuff"]["original_affine"], dtype=np.float64)
    geometry = properties.get("sitk_stuff")
    if geometry is None:
        return np.diag([*[float(each) for each in properties["spacing"]][::-1], 1.0])
    spacing = np.asarray(geometry["spacing"], dtype=np.float64)
    affine = np.eye(len(spacing) + 1)
    affine[:-1, :-1] = np.reshape(geometry["direction"], (len(spacing), len(spacing))) * spacing
    affine[:-1, -1] = geometry["origin"]
    return affine


def _check_geometry(file: Path, shape: tuple[int, ...], scan: np.ndarray, label: np.ndarray) -> None:
    """Refuse a label whose corners lie elsewhere than its scan's; ``shape`` is (Z, Y, X), of a 2D image (1, Y, X)."""
    if scan.shape == label.shape:
        sizes = shape[::-1][: len(scan) - 1]
        corners = np.array([[*corner, 1] for corner in itertools.product(*[(0, size - 1) for size in sizes])])
        # In voxels of the scan.
        moved = np.linalg.solve(scan, label @ corners.T).T
        if np.abs(moved - corners).max() <= _TOLERANCE:
            return
        spacing, label_spacing = (np.linalg.norm(affine[:-1, :-1], axis=0) for affine in (scan, label))
        if not np.allclose(spacing, label_spacing, rtol=1e-3):
            different = f"spacing ({_numbers(label_spacing)} mm, the scan {_numbers(spacing)} mm)"
        elif not np.allclose(scan[:-1, :-1] / spacing, label[:-1, :-1] / label_spacing, atol=1e-3):
            different = "direction"
        else:
            different = f"origin ({_numbers(label[:-1, -1])} mm, the scan {_numbers(scan[:-1, -1])} mm)"
    else:
        different = "number of axes"
    raise UserError(f"{file} has another {different} than its scan: annotate on the scan's own grid, or correct it.")


def _times(numbers: Sequence[int]) -> str:
    return " x ".join(map(str, numbers))


def _numbers(numbers: np.ndarray) -> str:
    return ", ".join(f"{number:.6g}" for number in numbers)
