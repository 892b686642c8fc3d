from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from medpy.metric import binary
from nnunetv2.evaluation.evaluate_predictions import compute_metrics
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

from benchmarks.label_efficiency.metrics import METRICS, compare_files, compare_segmentations

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
