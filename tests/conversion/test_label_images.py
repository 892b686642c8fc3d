"""Labels come to lie on their scan's voxels, or are refused."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_dycon.conversion.label_images import match_grid, renumber
from nnunetv2_dycon.exceptions import UserError
from tests.conversion.sources import DIRECTION, ORIGIN, image_of, itk_image, label_of


def array(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0)


def test_values_are_renumbered_on_the_same_grid() -> None:
    result = renumber(itk_image(label_of((1, 2, 4)).astype(np.float32)), {0: 0, 1: 1, 2: 1, 4: 1}, "file")
    assert result.GetPixelID() == sitk.sitkUInt8
    assert result.GetOrigin() == ORIGIN
    np.testing.assert_array_equal(array(result), label_of((1, 1, 1)))


@pytest.mark.parametrize("value", [3, 0.5, float("nan")])
def test_other_values_are_refused(value: float) -> None:
    label = label_of((1,)).astype(np.float32)
    label[0, 0, 0] = value
    with pytest.raises(UserError, match=f"FILE holds the label {value:g}, and this data set has 0, 1"):
        renumber(itk_image(label), {0: 0, 1: 1}, "FILE")


def test_other_axes_in_the_same_place() -> None:
    """What is stored along other axes is turned; every voxel stays where it is in space."""
    image, label = itk_image(image_of(0)), itk_image(label_of((1, 2)))
    for orientation in ("RAI", "PIR", "LPS", "SAR"):
        turned = match_grid(sitk.DICOMOrient(label, orientation), image, "file")
        np.testing.assert_array_equal(array(turned), array(label))
        assert turned.GetDirection() == DIRECTION


def test_rounded_headers_are_the_same() -> None:
    image, label = itk_image(image_of(0)), itk_image(label_of((1,)))
    label.SetOrigin([place + 0.001 for place in ORIGIN])
    assert match_grid(label, image, "file").GetOrigin() == ORIGIN


def test_a_label_elsewhere_in_space_is_refused_unless_told() -> None:
    image, label = itk_image(image_of(0)), itk_image(label_of((1,)))
    label.SetOrigin((0, 0, 0))
    with pytest.raises(UserError, match=r"FILE lies elsewhere in space .*origin \(0, 0, 0\).*--match_voxels"):
        match_grid(label, image, "FILE")
    np.testing.assert_array_equal(array(match_grid(label, image, "FILE", by_voxels=True)), label_of((1,)))


def test_another_number_of_voxels_is_refused() -> None:
    image, label = itk_image(image_of(0)), itk_image(label_of((1,))[:, :5])
    with pytest.raises(UserError, match=r"FILE has 5 x 5 x 4 voxels and its scan 5 x 6 x 4.*--without"):
        match_grid(label, image, "FILE", by_voxels=True)
