"""Reading scans and labels: HDF5, whatever ITK reads from one file, and DICOM series."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import SimpleITK as sitk

from nnunetv2_dycon.exceptions import UserError

Axes = Literal["xyz", "zyx"]


def read_h5(files: Sequence[Path], *, dataset: str, axes: Axes, spacing: tuple[float, float, float]) -> sitk.Image:
    """Read one dataset of an HDF5 file and nothing of its others; of several files, slices along z.

    Args:
        files: a file with a volume, or files with a slice of shape (Y, X) each, in order.
        dataset: such as ``image``.
        axes: order of a volume's axes. SimpleITK's arrays are ``zyx``.
        spacing: in mm, in the order (x, y, z); the files have none.

    Raises:
        UserError: when h5py is not installed, a file cannot be read, or it does not hold what is expected.
    """
    arrays = [_read_h5_array(file, dataset) for file in files]
    dimensions = 3 if len(files) == 1 else 2
    for file, array in zip(files, arrays, strict=True):
        if array.ndim != dimensions or array.shape != arrays[0].shape:
            raise UserError(
                f"'{dataset}' in {file} has the shape {array.shape}, and {dimensions} axes are expected, of the same "
                "lengths in all slices of a scan: replace the file"
            )
    volume = arrays[0] if len(files) == 1 else np.stack(arrays)
    if len(files) == 1 and axes == "xyz":
        volume = volume.transpose(2, 1, 0)
    # NIfTI has neither of these types.
    volume = volume.astype({"bool": np.uint8, "float16": np.float32}.get(volume.dtype.name, volume.dtype))
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume))
    image.SetSpacing(spacing)
    return image


def _read_h5_array(file: Path, dataset: str) -> np.ndarray:
    h5py = _import_h5py()
    try:
        with h5py.File(file, "r") as content:
            if dataset not in content:
                raise UserError(f"{file} has no dataset '{dataset}', only {sorted(content)}: replace the file")
            return np.asarray(content[dataset][()])
    except OSError as error:
        raise UserError(f"{file} cannot be read as HDF5: replace it ({error})") from error


def _import_h5py() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise UserError(
            'reading h5 files needs the package h5py, which is not installed: pip install "nnunetv2_dycon[convert]"'
        ) from error
    return h5py


def read_itk(files: Sequence[Path]) -> sitk.Image:
    """Read the one file of a scan, such as NIfTI or NRRD; a UserError when it is no volume that ITK can read."""
    (file,) = files
    try:
        image = sitk.ReadImage(str(file))
    except RuntimeError as error:
        raise UserError(f"{file} cannot be read: replace it ({str(error).strip().splitlines()[-1]})") from error
    return _checked(image, file)


def read_dicom(files: Sequence[Path]) -> sitk.Image:
    """Read the DICOM series that the files are, in Hounsfield units where they are CT.

    Raises:
        UserError: when they are not one series, or it cannot be read.
    """
    reader = sitk.ImageSeriesReader()
    folders = sorted({str(file.parent) for file in files})
    try:
        series = [(folder, identifier) for folder in folders for identifier in reader.GetGDCMSeriesIDs(folder)]
        if len(series) != 1:
            raise UserError(f"{', '.join(folders)} should hold one DICOM series and has {len(series)}: move others out")
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(*series[0]))
        image = reader.Execute()
    except RuntimeError as error:
        raise UserError(
            f"the DICOM series in {folders[0]} cannot be read: replace it ({str(error).strip().splitlines()[-1]})"
        ) from error
    return _checked(image, Path(folders[0]))


def _checked(image: sitk.Image, place: Path) -> sitk.Image:
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise UserError(f"{place} holds an image of the size {image.GetSize()}, which is no volume: replace it")
    return image
