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
from nnunetv2_dycon.files import hash_file
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


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "scan.nrrd"])
def test_the_hash_is_that_of_the_whole_file(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    if name.endswith("nrrd"):
        file.write_bytes(b"anything")
    else:
        write(file, np.random.default_rng(0).normal(size=(90, 80, 70)).astype(np.float32))
    assert check_nifti(file) == hash_file(file)
    if name == "scan.nii":
        with file.open("ab") as end:
            end.write(b"what stands behind the voxels, for example a NaN: " + np.float32(np.nan).tobytes() * 9)
        assert check_nifti(file) == hash_file(file)


def test_a_file_of_several_compressed_parts_is_read_to_its_end(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.nii", np.random.default_rng(0).normal(size=(9, 8, 7)).astype(np.float32))
    content = whole.read_bytes()
    file = tmp_path / "scan.nii.gz"
    parts = [gzip.compress(content[:900]), gzip.compress(content[900:])]
    file.write_bytes(b"".join(parts))
    assert check_nifti(file) == hash_file(file)
    file.write_bytes(parts[0])
    with pytest.raises(EOFError):
        check_nifti(file)


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("image_class", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_both_formats_and_byte_orders_are_read(tmp_path: Path, image_class: type, byte_order: str) -> None:
    values = np.zeros((3, 4, 5), np.dtype(np.float32).newbyteorder(byte_order))
    header = image_class.header_class(endianness=byte_order)
    header.set_data_dtype(values.dtype)
    file = tmp_path / "scan.nii"
    for bad in (False, True):
        values[2, 3, 4] = np.nan if bad else 1
        nibabel.save(image_class(values, np.eye(4), header), file)
        if bad:
            with pytest.raises(UserError, match="NaN or infinite"):
                check_nifti(file)
        else:
            check_nifti(file)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(EOFError):
        check_nifti(file)
