"""Metrics of predictions, and what is computed from the metrics of several runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import SimpleITK as sitk
from medpy.metric import binary
from nnunetv2.postprocessing.remove_connected_components import apply_postprocessing

from benchmarks.common.intervals import mean_where_defined
from benchmarks.label_efficiency.runs import Record
from nnunetv2_dycon.postprocessing.determine import as_nnunet_has_it
from nnunetv2_dycon.postprocessing.largest_components import Structure

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
    return {
        name: _compare_masks(np.isin(prediction, label) & counted, np.isin(reference, label) & counted, spacing)
        for name, label in labels.items()
        if name not in ("background", "ignore")
    }


def compare_files(
    prediction: Path,
    reference: Path,
    labels: Mapping[str, int | list[int]],
    structures_of_one_component: Sequence[Structure] = (),
) -> dict[str, dict[str, float | None]]:
    """:func:`compare_segmentations` of two files; the spacing is the reference's.

    Of the structures named, the prediction's largest connected component alone counts, as by nnU-Net's postprocessing.
    """
    true = sitk.ReadImage(str(reference))
    predicted = sitk.GetArrayFromImage(sitk.ReadImage(str(prediction)))
    predicted = apply_postprocessing(predicted, *as_nnunet_has_it(structures_of_one_component))
    return compare_segmentations(predicted, sitk.GetArrayFromImage(true), labels, true.GetSpacing()[::-1])


def _compare_masks(
    prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...]
) -> dict[str, float | None]:
    values: dict[str, float | None] = dict.fromkeys(METRICS)
    if prediction.any() or reference.any():
        values["dice"] = float(binary.dc(prediction, reference))
        values["jaccard"] = float(binary.jc(prediction, reference))
    if prediction.any() and reference.any():
        values["hd95"] = float(binary.hd95(prediction, reference, spacing))
        values["asd"] = float(binary.asd(prediction, reference, spacing))
    return values


def case_scores(
    records: Sequence[Record], metric: str, classes: Sequence[str] | None = None, *, postprocessed: bool = False
) -> np.ndarray:
    """A metric of each run and test case, averaged over the classes.

    Args:
        records: runs on the same test cases, done.
        metric: one of :data:`METRICS`.
        classes: which ones to average over; None for all.
        postprocessed: whether predictions kept their largest components alone where the labels speak for it.

    Returns:
        (runs, cases), the cases in alphabetical order. Classes where the metric is not defined are left out of a
        case's mean; NaN where no class is left.
    """
    metrics = [record.metrics_postprocessed if postprocessed else record.metrics for record in records]
    cases = sorted(metrics[0])
    return np.array([[_mean_of_classes(of_run[case], metric, classes) for case in cases] for of_run in metrics])


def count_undefined(record: Record, metric: str) -> int:
    """How often a metric of a run is not defined, over all cases and classes."""
    return sum(values[metric] is None for by_class in record.metrics.values() for values in by_class.values())


def dice_gained_in_last_quarter(record: Record) -> float | None:
    """Mean Dice of the test cases at the end of a training minus that after three quarters of it.

    Both without mirroring in prediction. It says whether a training was long enough; nothing is chosen by it.

    Returns:
        The mean over the cases where both are defined; None where there is none.
    """
    early, late = record.metrics_without_mirroring("three_quarters"), record.metrics_without_mirroring("final")
    gains = np.array(
        [[_mean_of_classes(late[case], "dice") - _mean_of_classes(early[case], "dice") for case in sorted(late)]]
    )
    gained = float(mean_where_defined(gains, axis=1)[0])
    return None if np.isnan(gained) else gained


def pseudo_dice_gained_in_last_quarter(pseudo_dice: Sequence[float | None]) -> float | None:
    """How much the pseudo-Dice rose over the last quarter of a training.

    Pseudo-Dice of an epoch comes from few random patches, so means are compared: that of the last eighth of the epochs
    with that of the eighth before the last quarter. Both lie a quarter of the training apart.

    Args:
        pseudo_dice: one value an epoch; None where no patch had foreground.

    Returns:
        The difference of the two means, negative where it fell; None for fewer than 8 epochs and where there is
        nothing to average.
    """
    epochs = len(pseudo_dice)
    eighth, quarter = epochs // 8, round(epochs / 4)
    late = [value for value in pseudo_dice[epochs - eighth :] if value is not None]
    early = [value for value in pseudo_dice[epochs - quarter - eighth : epochs - quarter] if value is not None]
    if not late or not early:
        return None
    return sum(late) / len(late) - sum(early) / len(early)


def _mean_of_classes(
    by_class: Mapping[str, Mapping[str, float | None]], metric: str, classes: Sequence[str] | None = None
) -> float:
    values = [by_class[name][metric] for name in (by_class if classes is None else classes)]
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else float("nan")


@dataclass(frozen=True)
class LabelSavings:
    """Labels that the reference needs for a score.

    Attributes:
        labels: their number; the end of the curve where the score is beyond it.
        factor: ``labels`` by the number that the arm had.
        bound: ``more than`` where the reference does not reach the score with all labels, ``at most`` where it has it
            with the fewest labels that were tried; empty where ``labels`` was interpolated.
    """

    labels: float
    factor: float
    bound: Literal["", "more than", "at most"]

    def describe(self) -> str:
        """For tables."""
        sign = {"": "", "more than": "> ", "at most": "<= "}[self.bound]
        return f"{sign}{self.labels:.3g} ({sign}{self.factor:.2g}x)"


# Of a learning curve: a line between two numbers of labels, such as 4 and all, says too much.
_FEWEST_POINTS = 3


def label_savings(score: float, labels: int, curve: Mapping[int, float]) -> LabelSavings | None:
    """Read the labels that a score takes from the reference's curve.

    The curve is interpolated linearly over the logarithm of the number of labels. Where it is not monotonic the
    fewest labels that reach the score count, which favours the reference. Where it is concave over the logarithm,
    interpolation favours the arm, the less the closer the numbers of labels are.

    Args:
        score: mean Dice of an arm.
        labels: the number of labels that it had.
        curve: mean Dice of the reference by number of labels.

    Returns:
        None where the curve has fewer than three points.
    """
    if len(curve) < _FEWEST_POINTS:
        return None
    points = sorted(curve.items())
    fewest, lowest = points[0]
    if score <= lowest:
        return LabelSavings(fewest, fewest / labels, "" if score == lowest else "at most")
    for (n1, y1), (n2, y2) in itertools.pairwise(points):
        if score <= y2:
            share = (score - y1) / (y2 - y1)
            needed = math.exp(math.log(n1) + share * (math.log(n2) - math.log(n1)))
            return LabelSavings(needed, needed / labels, "")
    most = points[-1][0]
    return LabelSavings(most, most / labels, "more than")


def gap_closed(score: float, reference: float, reference_with_all: float) -> float | None:
    """The share of what all labels would bring that an arm brings.

    Args:
        score: mean Dice of the arm.
        reference: of plain nnU-Net with as many labels.
        reference_with_all: of plain nnU-Net with all labels.

    Returns:
        0 for no gain, 1 for as good as all labels; None where all labels bring nothing.
    """
    gap = reference_with_all - reference
    return (score - reference) / gap if gap > 0 else None
