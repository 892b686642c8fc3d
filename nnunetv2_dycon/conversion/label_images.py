"""Labels on the grid of their scan, with the values that dataset.json names."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np
import SimpleITK as sitk

from nnunetv2_dycon.exceptions import UserError

# Corners of a label's grid and of its scan's may lie this far apart, in voxels: headers are rounded.
_TOLERANCE = 0.1


def renumber(label: sitk.Image, values: Mapping[int, int], where: str) -> sitk.Image:
    """Give labels their values in the dataset, as uint8, on the same grid.

    Args:
        label: as it was read; whole numbers of any type.
        values: from a value in the file to that in the dataset.
        where: the file, for messages.

    Raises:
        UserError: for a value that is none of the data set's.
    """
    array = sitk.GetArrayFromImage(label)
    unknown = [value for value in np.unique(array).tolist() if value not in values]
    if unknown:
        known = ", ".join(map(str, values))
        raise UserError(f"{where} holds the label {unknown[0]:g}, and this data set has {known}: replace the file")
    renumbered = np.zeros(array.shape, np.uint8)
    for value, new in values.items():
        renumbered[array == value] = new
    result = sitk.GetImageFromArray(renumbered)
    result.CopyInformation(label)
    return result


def match_grid(label: sitk.Image, image: sitk.Image, where: str, *, by_voxels: bool = False) -> sitk.Image:
    """Bring labels onto the voxel grid of their scan, without interpolation.

    Both may be stored along other axes, as a DICOM series and the NIfTI labels that belong to it: then the axes of the
    labels are permuted and flipped as their header says.

    Args:
        label: of any type.
        image: the scan.
        where: the label's file, for messages.
        by_voxels: where the headers disagree although the numbers of voxels are the same, take the labels voxel by
            voxel, in the order in which they are stored.

    Raises:
        UserError: when the grids differ.
    """
    oriented = label
    if not _is_same_grid(label, image) and label.GetDirection() != image.GetDirection():
        orientation = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(image.GetDirection())
        oriented = sitk.DICOMOrient(label, orientation)
    if not _is_same_grid(oriented, image):
        if label.GetSize() != image.GetSize():
            raise UserError(
                f"{where} has {_size(label)} voxels and its scan {_size(image)}: replace one of the two, or leave the "
                "case out with --without"
            )
        if not by_voxels:
            raise UserError(
                f"{where} lies elsewhere in space than its scan by their headers (origin {_numbers(label.GetOrigin())} "
                f"and {_numbers(image.GetOrigin())}, spacing {_numbers(label.GetSpacing())} and "
                f"{_numbers(image.GetSpacing())}): correct the file, or give --match_voxels if it fits its scan voxel "
                "by voxel, and look at one of the results"
            )
        oriented = label
    array = sitk.GetArrayFromImage(oriented)
    result = sitk.GetImageFromArray(array)
    result.CopyInformation(image)
    return result


def _is_same_grid(label: sitk.Image, image: sitk.Image) -> bool:
    """Whether both have the same number of voxels along each axis, and the same corners."""
    if label.GetSize() != image.GetSize():
        return False
    corners = list(product(*[(0, size - 1) for size in image.GetSize()]))
    places = [image.TransformContinuousIndexToPhysicalPoint([float(index) for index in corner]) for corner in corners]
    found = [label.TransformPhysicalPointToContinuousIndex(place) for place in places]
    return bool(np.allclose(found, corners, rtol=0, atol=_TOLERANCE))


def _size(image: sitk.Image) -> str:
    return " x ".join(map(str, image.GetSize()))


def _numbers(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"
