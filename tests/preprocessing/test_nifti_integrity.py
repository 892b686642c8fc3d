"""Damaged NIfTI files are noticed, also where nnU-Net's readers read them as 0."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.preprocessing.nifti_integrity import check_nifti


def write(file: Path, values: np.ndarray, scale: float | None = None) -> Path:
    image = nibabel.Nifti1Image(values, np.eye(4))
    if scale is not None:
        image.header.set_slope_inter(scale, 1)
    nibabel.save(image, file)
    return file


@pytest.fixture(params=["scan.nii", "scan.nii.gz"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    values = np.random.default_rng(0).integers(0, 1000, (8, 9, 10)).astype(np.int16)
    return write(tmp_path / request.param, values)


def test_a_whole_file_passes(file: Path) -> None:
    check_nifti(file)


@pytest.mark.parametrize("kept", [0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_noticed(file: Path, kept: float) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(kept * len(content))])
    with pytest.raises((EOFError, OSError, ValueError, nibabel.filebasedimages.ImageFileError)):
        check_nifti(file)


def test_itk_does_not_notice_it(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    assert sitk.ReadImage(str(file)).GetSize() == (8, 9, 10)


def test_a_changed_byte_in_a_compressed_file_is_noticed(tmp_path: Path) -> None:
    file = write(tmp_path / "scan.nii.gz", np.zeros((8, 8, 8), np.uint8))
    content = bytearray(file.read_bytes())
    content[-6] ^= 1
    file.write_bytes(content)
    with pytest.raises((gzip.BadGzipFile, zlib.error)):
        check_nifti(file)


def test_text_is_noticed(file: Path) -> None:
    file.write_text("no scan")
    with pytest.raises((OSError, nibabel.filebasedimages.ImageFileError)):
        check_nifti(file)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_that_are_not_finite_are_refused(tmp_path: Path, bad: float, dtype: type) -> None:
    values = np.zeros((4, 4, 4), dtype)
    file = write(tmp_path / "scan.nii.gz", values)
    check_nifti(file)
    values[1, 2, 3] = bad
    with pytest.raises(UserError, match="NaN or infinite"):
        check_nifti(write(file, values))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32])
def test_every_type_of_values_passes_also_scaled(tmp_path: Path, dtype: type) -> None:
    check_nifti(write(tmp_path / "scan.nii.gz", np.ones((4, 4, 4), dtype), scale=0.5))


def test_other_formats_are_left_to_their_readers(tmp_path: Path) -> None:
    file = tmp_path / "scan.nrrd"
    file.write_text("anything")
    check_nifti(file)
