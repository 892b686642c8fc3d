from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from medpy.metric import binary
from nnunetv2.evaluation.evaluate_predictions import compute_metrics
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

from benchmarks.label_efficiency.scores import (
    METRICS,
    compare_files,
    compare_segmentations,
    gap_closed,
    label_savings,
    pseudo_dice_gained_in_last_quarter,
)

NAN = float("nan")
CURVE = {4: 0.70, 16: 0.80, 64: 0.85}
LABELS = {"background": 0, "first": 1, "second": 2}


def write(array: np.ndarray, file: Path, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Path:
    """Spacing in the order of the array's axes."""
    image = sitk.GetImageFromArray(array.astype(np.uint8))
    image.SetSpacing(spacing[::-1])
    sitk.WriteImage(image, str(file))
    return file


def test_overlap_is_nnunets_and_distances_are_medpys(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    shape, spacing = (6, 9, 8), (2.5, 0.7, 0.9)
    reference = generator.integers(0, 3, shape)
    prediction = np.where(generator.random(shape) < 0.6, reference, generator.integers(0, 3, shape))
    files = write(reference, tmp_path / "reference.nii.gz", spacing), write(prediction, tmp_path / "prediction.nii.gz")
    values = compare_files(files[1], files[0], LABELS)
    theirs = compute_metrics(str(files[0]), str(files[1]), SimpleITKIO(), [1, 2])["metrics"]
    for name, label in (("first", 1), ("second", 2)):
        assert values[name]["dice"] == pytest.approx(theirs[label]["Dice"])
        assert values[name]["jaccard"] == pytest.approx(theirs[label]["IoU"])
        masks = prediction == label, reference == label
        # NIfTI keeps the spacing in single precision.
        assert values[name]["hd95"] == pytest.approx(binary.hd95(*masks, voxelspacing=spacing), rel=1e-6)
        assert values[name]["asd"] == pytest.approx(binary.asd(*masks, voxelspacing=spacing), rel=1e-6)


def test_of_structures_of_one_component_the_largest_alone_counts(tmp_path: Path) -> None:
    reference, prediction = np.zeros((4, 4, 9)), np.zeros((4, 4, 9))
    reference[:2, :2, :2] = prediction[:2, :2, :2] = 1
    reference[:2, :2, 2] = prediction[:2, :2, 2] = 2
    # A second component of the first class, and one of the second class that the first joins to the rest.
    prediction[3, 3, 6:] = 1
    prediction[0, 0, 0] = 2
    files = write(prediction, tmp_path / "prediction.nii.gz"), write(reference, tmp_path / "reference.nii.gz")
    by_structures = {
        structures: [values["dice"] for values in compare_files(*files, LABELS, structures).values()]
        for structures in ((), ((1, 2),), ((2,),), ((1, 2), (1,), (2,)))
    }
    assert by_structures[()] == pytest.approx([14 / 18, 8 / 9])
    assert by_structures[(1, 2),] == pytest.approx([14 / 15, 8 / 9])
    assert by_structures[(2,),] == pytest.approx([14 / 18, 1])
    assert by_structures[(1, 2), (1,), (2,)] == pytest.approx([14 / 15, 1])


def test_distances_are_in_millimetres_along_the_right_axis(tmp_path: Path) -> None:
    reference, prediction = np.zeros((4, 4, 4)), np.zeros((4, 4, 4))
    reference[0, 0, 0] = prediction[2, 0, 0] = 1
    files = (
        write(mask, tmp_path / f"{index}.nii.gz", (3.0, 1.0, 0.5)) for index, mask in enumerate((prediction, reference))
    )
    values = compare_files(*files, {"background": 0, "first": 1})
    assert values["first"] == {"dice": 0.0, "jaccard": 0.0, "hd95": 6.0, "asd": 6.0}


def test_asd_is_from_the_prediction_to_the_reference() -> None:
    reference, prediction = np.zeros((1, 1, 9), int), np.zeros((1, 1, 9), int)
    reference[..., 0] = prediction[..., 0] = 1
    prediction[..., 6] = 1
    assert compare_segmentations(prediction, reference, LABELS, (1, 1, 1))["first"]["asd"] == 3.0
    assert compare_segmentations(reference, prediction, LABELS, (1, 1, 1))["first"]["asd"] == 0.0


def test_empty_masks() -> None:
    empty, full = np.zeros((3, 3, 3), int), np.ones((3, 3, 3), int)
    for pair in ((empty, full), (full, empty)):
        values = compare_segmentations(*pair, LABELS, (1, 1, 1))
        assert values["first"] == {"dice": 0.0, "jaccard": 0.0, "hd95": None, "asd": None}
        assert values["second"] == dict.fromkeys(METRICS)


def test_regions_and_ignored_voxels() -> None:
    reference = np.array([[[1, 2, 0, 3]]])
    prediction = np.array([[[2, 2, 0, 1]]])
    labels = {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}
    values = compare_segmentations(prediction, reference, labels, (1, 1, 1))
    assert values.keys() == {"whole", "core"}
    assert values["whole"]["dice"] == 1.0
    assert values["core"]["dice"] == pytest.approx(2 / 3)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="shape"):
        compare_segmentations(np.zeros((2, 2, 2)), np.zeros((2, 2, 3)), LABELS, (1, 1, 1))


def test_gain_of_a_straight_line_is_that_of_a_quarter() -> None:
    assert pseudo_dice_gained_in_last_quarter([0.01 * epoch for epoch in range(40)]) == pytest.approx(0.1)


def test_only_two_eighths_count() -> None:
    curve = [9.0] * 10 + [0.5, 0.7] + [9.0] * 2 + [0.8, 1.0]
    assert pseudo_dice_gained_in_last_quarter(curve) == pytest.approx(0.9 - 0.6)
    assert pseudo_dice_gained_in_last_quarter([*curve[:-1], None]) == pytest.approx(0.8 - 0.6)


def test_too_short_or_empty_curves_have_no_gain() -> None:
    assert pseudo_dice_gained_in_last_quarter([0.5] * 7) is None
    assert pseudo_dice_gained_in_last_quarter([None] * 8) is None


@pytest.mark.parametrize(
    ("score", "labels", "needed"),
    [(0.70, 4, 4.0), (0.75, 4, 8.0), (0.75, 8, 8.0), (0.80, 4, 16.0), (0.825, 4, 32.0), (0.85, 16, 64.0)],
)
def test_labels_are_interpolated_over_their_logarithm(score: float, labels: int, needed: float) -> None:
    savings = label_savings(score, labels, CURVE)
    assert savings is not None
    assert savings.labels == pytest.approx(needed)
    assert savings.factor == pytest.approx(needed / labels)
    assert savings.bound == ""


def test_beyond_the_curve_there_are_bounds_only() -> None:
    more, fewer = label_savings(0.86, 4, CURVE), label_savings(0.6, 8, CURVE)
    assert more is not None
    assert fewer is not None
    assert (more.labels, more.factor, more.bound) == (64, 16.0, "more than")
    assert more.describe() == "> 64 (> 16x)"
    assert (fewer.labels, fewer.factor, fewer.bound) == (4, 0.5, "at most")
    assert fewer.describe() == "<= 4 (<= 0.5x)"


def test_a_dip_of_the_curve_favours_the_reference() -> None:
    savings = label_savings(0.75, 4, {4: 0.7, 8: 0.76, 16: 0.74, 32: 0.8})
    assert savings is not None
    assert savings.labels < 8


def test_a_line_between_two_numbers_of_labels_says_too_much() -> None:
    assert label_savings(0.75, 4, {4: 0.7, 64: 0.8}) is None
    assert label_savings(0.75, 4, {4: 0.7, 16: 0.74, 64: 0.8}) is not None


def test_gap_closed() -> None:
    assert gap_closed(0.76, 0.70, 0.85) == pytest.approx(0.4)
    assert gap_closed(0.65, 0.70, 0.80) == pytest.approx(-0.5)
    assert gap_closed(0.76, 0.70, 0.70) is None
