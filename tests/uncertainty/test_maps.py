"""Maps lie on the scan, for every reader of nnU-Net's."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from nnunetv2.imageio.base_reader_writer import BaseReaderWriter
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
from nnunetv2.imageio.nibabel_reader_writer import NibabelIO, NibabelIOWithReorient
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO, SimpleITKIOWithReorient
from nnunetv2.imageio.tif_reader_writer import Tiff3DIO
from skimage import io

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.uncertainty.maps import is_planar, map_ending, write_map

# Rotated, mirrored and with axes in another order, so that no geometry is right by chance.
DIRECTION = (0.0, -0.8, 0.6, -1.0, 0.0, 0.0, 0.0, 0.6, 0.8)


def write_scan(file: Path) -> None:
    values = np.random.default_rng(0).random((6, 4, 5), dtype=np.float32)
    scan = sitk.GetImageFromArray(values)
    scan.SetSpacing((0.7, 1.5, 3.2))
    scan.SetOrigin((-11.0, 20.5, 3.25))
    scan.SetDirection(DIRECTION)
    sitk.WriteImage(scan, str(file))


@pytest.mark.parametrize(
    ("reader", "ending"),
    [
        (SimpleITKIO, ".nii.gz"),
        (SimpleITKIO, ".nrrd"),
        (SimpleITKIO, ".mha"),
        (SimpleITKIOWithReorient, ".nii.gz"),
        (NibabelIO, ".nii.gz"),
        (NibabelIO, ".nii"),
        (NibabelIOWithReorient, ".nii.gz"),
    ],
)
def test_a_map_of_the_scan_is_the_scan(reader: type[BaseReaderWriter], ending: str, tmp_path: Path) -> None:
    scan, copy = tmp_path / f"scan{ending}", tmp_path / "maps" / f"scan{map_ending(ending)}"
    write_scan(scan)
    values, properties = reader().read_images([str(scan)])
    write_map(values[0], copy, properties)
    original, written = sitk.ReadImage(str(scan)), sitk.ReadImage(str(copy))
    assert written.GetPixelID() == sitk.sitkFloat32
    assert np.array_equal(sitk.GetArrayFromImage(written), sitk.GetArrayFromImage(original))
    for name in ("GetSpacing", "GetOrigin", "GetDirection"):
        # NIfTI has float32 for its geometry.
        assert np.allclose(getattr(written, name)(), getattr(original, name)(), atol=1e-6), name


def test_a_map_has_the_affine_of_the_segmentation(tmp_path: Path) -> None:
    scan = tmp_path / "scan.nii.gz"
    write_scan(scan)
    values, properties = NibabelIOWithReorient().read_images([str(scan)])
    NibabelIOWithReorient().write_seg((values[0] > 0.5).astype(np.uint8), str(tmp_path / "seg.nii.gz"), properties)
    write_map(values[0], tmp_path / "map.nii.gz", properties)
    affines = [nibabel.load(tmp_path / name).affine for name in ("seg.nii.gz", "map.nii.gz")]
    assert np.array_equal(*affines)


def test_a_2d_image_of_itk_stays_2d(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.arange(12, dtype=np.float32).reshape(3, 4))
    image.SetSpacing((0.5, 0.75))
    sitk.WriteImage(image, str(tmp_path / "scan.nii.gz"))
    values, properties = SimpleITKIO().read_images([str(tmp_path / "scan.nii.gz")])
    assert is_planar(values[0].shape, tuple(properties["spacing"]))
    write_map(values[0], tmp_path / "map.nii.gz", properties)
    written = sitk.ReadImage(str(tmp_path / "map.nii.gz"))
    assert written.GetSpacing() == (0.5, 0.75)
    assert np.array_equal(sitk.GetArrayFromImage(written), sitk.GetArrayFromImage(image))


def test_formats_without_floats_or_geometry_become_nifti(tmp_path: Path) -> None:
    assert [map_ending(ending) for ending in (".png", ".bmp", ".tif")] == [".nii.gz"] * 3
    io.imsave(tmp_path / "image.png", np.arange(12, dtype=np.uint8).reshape(3, 4), check_contrast=False)
    values, properties = NaturalImage2DIO().read_images([str(tmp_path / "image.png")])
    write_map(values[0], tmp_path / "map.nii.gz", properties)
    assert sitk.ReadImage(str(tmp_path / "map.nii.gz")).GetSpacing() == (1.0, 1.0, 1.0)

    write_scan(tmp_path / "scan_0000.nii.gz")
    volume = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "scan_0000.nii.gz")))
    Tiff3DIO().write_seg((volume * 9).astype(np.uint8), str(tmp_path / "scan_0000.tif"), {"spacing": (3.0, 2.0, 1.0)})
    (tmp_path / "scan_0000.json").rename(tmp_path / "scan.json")
    values, properties = Tiff3DIO().read_images([str(tmp_path / "scan_0000.tif")])
    write_map(values[0], tmp_path / "volume.nii.gz", properties)
    written = sitk.ReadImage(str(tmp_path / "volume.nii.gz"))
    assert written.GetSpacing() == (1.0, 2.0, 3.0)
    assert np.array_equal(sitk.GetArrayFromImage(written), values[0])


def test_a_single_slice_of_a_volume_is_no_2d_image() -> None:
    assert not is_planar((1, 10, 10), (5.0, 1.0, 1.0))
    assert not is_planar((2, 10, 10), (999.0, 1.0, 1.0))


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "maps").write_text("a file")
    with pytest.raises(UserError, match="maps cannot be written to"):
        write_map(np.zeros((2, 2, 2)), tmp_path / "maps" / "case.nii.gz", {"spacing": (1, 1, 1)})
