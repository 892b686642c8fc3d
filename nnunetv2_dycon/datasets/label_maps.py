"""Reading and rewriting label maps: predicted ones, which may be damaged, and those of labeled cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nnunetv2.imageio.base_reader_writer import BaseReaderWriter
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
    segmentation = read_label_map(file, "remove it and predict that case again")
    # A region lists several values, and the ignore label is never predicted.
    labels = [value for name, value in dataset_json["labels"].items() if name != "ignore"]
    if unknown := sorted(set(np.unique(segmentation).tolist()) - set(np.hstack(labels).tolist())):
        raise UserError(
            f"{file} holds the value {unknown[0]:g}, which is no label of the dataset: predict with a model of this "
            "dataset"
        )
    return segmentation


def read_label_map(file: Path, remedy: str) -> np.ndarray:
    """Read a label map in any format that nnU-Net reads.

    Args:
        file: with the label map.
        remedy: what to do with a file that cannot be read, for the message.

    Returns:
        The label map, its axes as the file has them.

    Raises:
        UserError: for a file that is missing or damaged.
    """
    try:
        if _is_nifti(file):
            return np.asarray(_load_nifti(file).dataobj)
        return _read_with_nnunet(file)[1]
    except READING_ERRORS as error:
        raise UserError(f"{file} cannot be read ({' '.join(str(error).split())}): {remedy}") from error


def rewrite_label_map(file: Path, label_map: np.ndarray) -> None:
    """Replace the values of a label file; of a NIfTI file, all else stays as it is.

    Args:
        file: to be written over.
        label_map: of the same shape, as :func:`read_label_map` gives it.
    """
    if _is_nifti(file):
        image = _load_nifti(file)
        dtype = image.get_data_dtype()
        if np.issubdtype(dtype, np.integer):
            # Scaled ones are read as floats.
            label_map = np.rint(label_map).astype(np.promote_types(dtype, np.min_scalar_type(int(label_map.max()))))
            image.header.set_data_dtype(label_map.dtype)
        nibabel.save(type(image)(label_map, image.affine, image.header), file)
        return
    reader_writer, _, properties = _read_with_nnunet(file)
    reader_writer.write_seg(label_map, str(file), properties)


def _is_nifti(file: Path) -> bool:
    return file.name.endswith((".nii", ".nii.gz"))


def _load_nifti(file: Path) -> nibabel.Nifti1Pair:
    check_nifti(file)
    # ITK refuses some of the directions that nnU-Net reads.
    image = nibabel.load(file)
    assert isinstance(image, nibabel.Nifti1Pair)
    return image


def _read_with_nnunet(file: Path) -> tuple[BaseReaderWriter, np.ndarray, dict[str, Any]]:
    """nnU-Net's reader that can read a label file, the label map, and what it takes to write one."""
    errors = []
    for reader in LIST_OF_IO_CLASSES:
        if file.name.lower().endswith(tuple(reader.supported_file_endings)):
            try:
                label_map, properties = reader().read_seg(str(file))
                return reader(), label_map[0], properties
            except READING_ERRORS as error:
                errors.append(str(error))
    raise ValueError("; ".join(errors) or f"nnU-Net has no reader for {file.name}")
