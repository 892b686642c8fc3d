"""Maps of floats in the geometry of a scan. nnU-Net's own writers know segmentations only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import SimpleITK as sitk
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from nnunetv2_dycon.files import explained_write_errors, written_aside

_NIFTI = ".nii.gz"
# Formats that hold floats, spacing, origin and direction.
_ENDINGS = (_NIFTI, ".nii", ".nrrd", ".mha", ".gipl")


def map_ending(file_ending: str) -> str:
    """The file ending of maps of a dataset: its own where the format holds floats and a geometry, NIfTI's otherwise."""
    return file_ending if file_ending.lower() in _ENDINGS else _NIFTI


def write_map(values: np.ndarray, file: Path, properties: dict[str, Any]) -> None:
    """Write a map so that it lies on the scan and on its segmentation, voxel by voxel.

    Args:
        values: (X, Y, Z) in the order in which nnU-Net reads scans; a 2D image has X = 1. Written as float32.
        file: ends in :func:`map_ending`.
        properties: what nnU-Net's reader returned with the scan. Without origin and direction, as for TIFF and PNG, the
            map gets the spacing alone.

    Raises:
        UserError: when the folder cannot be written to.
    """
    values = np.ascontiguousarray(values, dtype=np.float32)
    with explained_write_errors(file.parent), written_aside(file) as partial:
        if "nibabel_stuff" in properties:
            nibabel.save(_nibabel_image(values, properties["nibabel_stuff"]), partial)
        else:
            sitk.WriteImage(_itk_image(values, properties), str(partial), True)


def is_planar(shape: tuple[int, ...], spacing: tuple[float, ...]) -> bool:
    """Whether a scan is a 2D image, to whose third axis nnU-Net's readers give 999 times the pixels' spacing."""
    return shape[0] == 1 and spacing[0] > 998 * max(spacing[1:])


def _itk_image(values: np.ndarray, properties: dict[str, Any]) -> sitk.Image:
    geometry = properties.get("sitk_stuff")
    if geometry is None:
        spacing = [float(each) for each in properties["spacing"]]
        image = sitk.GetImageFromArray(values)
        # The slice of a 2D image has no thickness, and viewers would stretch 999.
        first = 1.0 if is_planar(values.shape, tuple(spacing)) else spacing[0]
        image.SetSpacing([*spacing[:0:-1], first])
        return image
    image = sitk.GetImageFromArray(values[0] if len(geometry["spacing"]) == 2 else values)
    image.SetSpacing(geometry["spacing"])
    image.SetOrigin(geometry["origin"])
    image.SetDirection(geometry["direction"])
    # Of nnU-Net's SimpleITKIOWithReorient.
    orientation = geometry.get("original_orientation")
    return image if orientation is None else sitk.DICOMOrient(image, orientation)


def _nibabel_image(values: np.ndarray, geometry: dict[str, Any]) -> nibabel.Nifti1Image:
    original = geometry["original_affine"]
    reoriented = geometry.get("reoriented_affine")
    if reoriented is None:
        return nibabel.Nifti1Image(values.transpose(2, 1, 0), original)
    # Of nnU-Net's NibabelIOWithReorient, which reads scans in the orientation RAS.
    image = nibabel.Nifti1Image(values.transpose(2, 1, 0), reoriented)
    return image.as_reoriented(ornt_transform(axcodes2ornt("RAS"), io_orientation(original)))
