"""Metrics of a predicted case."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from medpy.metric import binary

METRICS = ("dice", "jaccard", "hd95", "asd")
OVERLAP_METRICS = METRICS[:2]
DISTANCE_METRICS = METRICS[2:]


def compare_segmentations(
    prediction: np.ndarray,
    reference: np.ndarray,
    labels: Mapping[str, int | list[int]],
    spacing: tuple[float, ...],
) -> dict[str, dict[str, float | None]]:
    """Dice, Jaccard, HD95 and ASD of each class, by MedPy, as the literature on semi-supervised segmentation does.

    Where prediction and reference are both empty, nothing can be said: all four are None, as nnU-Net's NaN. Where one
    of them is empty, Dice and Jaccard are 0 and the distances None, since they are not defined.

    Args:
        prediction: label map.
        reference: label map of the same shape.
        labels: nnU-Net's ``labels``: name to value, or to the values of a region. Voxels that carry the value of
            ``ignore`` in the reference do not count.
        spacing: in mm, in the order of the axes.

    Returns:
        The metrics of each class but the background, distances in mm. HD95 is the 95th percentile of the distances
        from either surface to the other one; ASD the mean distance from the predicted surface to the true one.

    Raises:
        ValueError: if the shapes differ.
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"the prediction has the shape {prediction.shape}, the reference {reference.shape}")
    counted = reference != labels["ignore"] if "ignore" in labels else np.ones(reference.shape, bool)
    values: dict[str, dict[str, float | None]] = {}
    for name, label in labels.items():
        if name not in ("background", "ignore"):
            values[name] = _compare_masks(
                np.isin(prediction, label) & counted, np.isin(reference, label) & counted, spacing
            )
    return values


def compare_files(
    prediction: Path, reference: Path, labels: Mapping[str, int | list[int]]
) -> dict[str, dict[str, float | None]]:
    """The same for two files; the spacing is the reference's.

    Args:
        prediction: file of a label map.
        reference: file of a label map.
        labels: see :func:`compare_segmentations`.

    Returns:
        See :func:`compare_segmentations`.
    """
    true = sitk.ReadImage(str(reference))
    predicted = sitk.GetArrayFromImage(sitk.ReadImage(str(prediction)))
    return compare_segmentations(predicted, sitk.GetArrayFromImage(true), labels, true.GetSpacing()[::-1])


def _compare_masks(
    prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...]
) -> dict[str, float | None]:
    if not prediction.any() and not reference.any():
        return dict.fromkeys(METRICS)
    overlap = {"dice": float(binary.dc(prediction, reference)), "jaccard": float(binary.jc(prediction, reference))}
    if not prediction.any() or not reference.any():
        return overlap | dict.fromkeys(DISTANCE_METRICS)
    return overlap | {
        "hd95": float(binary.hd95(prediction, reference, spacing)),
        "asd": float(binary.asd(prediction, reference, spacing)),
    }
