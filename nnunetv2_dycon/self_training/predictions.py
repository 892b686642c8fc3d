"""Reading label maps: predicted ones, which may be damaged, and those of labeled cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nnunetv2.imageio.reader_writer_registry import LIST_OF_IO_CLASSES

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.preprocessing.nifti_integrity import READING_ERRORS, check_nifti


def check_prediction(file: Path, dataset_json: dict[str, Any]) -> np.ndarray:
    """Read a predicted segmentation to its end and see that it could be a label file of the dataset.

    nnUNetv2_predict writes a label map for a region-based dataset too.

    Returns:
        The label map, its axes as the file has them.

    Raises:
        UserError: for a file that is missing or damaged, as a killed prediction leaves it, and for values that
            are not labels of the dataset.
    """
    try:
        segmentation = read_label_map(file)
    except READING_ERRORS as error:
        raise UserError(
            f"{file} cannot be read ({' '.join(str(error).split())}): remove it and predict that case again"
        ) from error
    # A region lists several values, and the ignore label is never predicted.
    labels = [value for name, value in dataset_json["labels"].items() if name != "ignore"]
    if unknown := sorted(set(np.unique(segmentation).tolist()) - set(np.hstack(labels).tolist())):
        raise UserError(
            f"{file} holds the value {unknown[0]:g}, which is no label of the dataset: predict with a model of this "
            "dataset"
        )
    return segmentation


def read_label_map(file: Path) -> np.ndarray:
    """Read a label map in any format that nnU-Net reads.

    Raises:
        Exception: one of READING_ERRORS, for a file that is missing or damaged.
    """
    if file.name.endswith((".nii", ".nii.gz")):
        check_nifti(file)
        # ITK refuses some of the directions that nnU-Net reads.
        image = nibabel.load(file)
        assert isinstance(image, nibabel.Nifti1Pair)
        return np.asarray(image.dataobj)
    errors = []
    for reader in LIST_OF_IO_CLASSES:
        if file.name.lower().endswith(tuple(reader.supported_file_endings)):
            try:
                return reader().read_seg(str(file))[0]
            except READING_ERRORS as error:
                errors.append(str(error))
    raise ValueError("; ".join(errors) or f"nnU-Net has no reader for {file.name}")
