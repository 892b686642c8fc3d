"""Checking predicted segmentations before they become labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nnunetv2.imageio.reader_writer_registry import LIST_OF_IO_CLASSES

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.preprocessing.nifti_integrity import READING_ERRORS, check_nifti


def check_prediction(file: Path, dataset_json: dict[str, Any]) -> None:
    """Read a predicted segmentation to its end and see that it could be a label file of the dataset.

    Args:
        file: a segmentation that nnUNetv2_predict wrote. For a region-based dataset this is a label map too.
        dataset_json: the dataset's dataset.json.

    Raises:
        UserError: for a file that is missing or damaged, as a killed prediction leaves it, and for values that
            are not labels of the dataset.
    """
    try:
        segmentation = _read(file, dataset_json["file_ending"])
    except READING_ERRORS as error:
        raise UserError(
            f"{file} cannot be read ({' '.join(str(error).split())}): remove it and predict that case again"
        ) from error
    unknown = sorted(set(np.unique(segmentation).tolist()) - _predicted_labels(dataset_json))
    if unknown:
        raise UserError(
            f"{file} holds the value {unknown[0]:g}, which is no label of the dataset: predict with a model of this "
            "dataset"
        )


def _read(file: Path, file_ending: str) -> np.ndarray:
    if file.name.endswith((".nii", ".nii.gz")):
        check_nifti(file)
        # ITK refuses some of the directions that nnU-Net reads.
        image = nibabel.load(file)
        assert isinstance(image, nibabel.Nifti1Pair)
        return np.asarray(image.dataobj)
    errors = []
    for reader in LIST_OF_IO_CLASSES:
        if file_ending.lower() in reader.supported_file_endings:
            try:
                return reader().read_seg(str(file))[0]
            except READING_ERRORS as error:
                errors.append(str(error))
    raise ValueError("; ".join(errors) or f"nnU-Net has no reader for {file_ending}")


def _predicted_labels(dataset_json: dict[str, Any]) -> set[int]:
    """The values that nnU-Net predicts; a region lists several, and the ignore label is never predicted."""
    values: set[int] = set()
    for name, value in dataset_json["labels"].items():
        if name != "ignore":
            values |= set(value) if isinstance(value, list | tuple) else {value}
    return values
