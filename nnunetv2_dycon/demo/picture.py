"""The demo's picture: what was labeled, and test scans in which the trainers differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from nnunetv2_dycon.demo.report import ShownCase, TrainerResult
from nnunetv2_dycon.pictures import matplotlib_defaults

# Distinguishable with every common colour vision deficiency.
LABEL_COLOURS = ("#56B4E9", "#CC79A7")
RIGHT_COLOURS = ("#D55E00", "#009E73")
FONT_SIZE = 11


@matplotlib_defaults()
def draw_picture(
    file: Path,
    *,
    raw_dataset_folder: Path,
    results: tuple[TrainerResult, TrainerResult],
    labels: Mapping[str, int],
    cases: Sequence[ShownCase],
) -> None:
    """Draw labeled scans in the first row, then one row a test scan.

    A row of a test scan has the scan, its ground truth, both predictions, and which trainer alone is right where. Its
    slice is the one with the most voxels in which the second trainer alone is right, less those in which the first is,
    of the slices that show at least half as much of the structures as the fullest one.

    Args:
        file: to be written.
        raw_dataset_folder: with imagesTr, labelsTr, imagesTs and labelsTs.
        results: plain nnU-Net's and DyCON's.
        labels: name to value, without the background.
        cases: the test scans.
    """
    figure = Figure(figsize=(12.4, 2.75 * (len(cases) + 1) + 0.3), layout="constrained")
    axes = figure.subplots(len(cases) + 1, 5, squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    _draw_labeled(axes[0], raw_dataset_folder, labels)
    patches = [Patch(color=colour, label=name) for name, colour in zip(labels, LABEL_COLOURS, strict=False)]
    right = zip((result.title for result in results), RIGHT_COLOURS, strict=True)
    patches += [Patch(color=colour, label=f"only {title} is right") for title, colour in right]
    axes[0, -1].legend(handles=patches, loc="center", frameon=False, fontsize=FONT_SIZE)
    titles = ("Test scan", "Ground truth", *(result.title for result in results), "Who is right")
    for axis, title in zip(axes[1], titles, strict=True):
        axis.set_title(title, fontsize=FONT_SIZE + 1)
    for row, case in zip(axes[1:], cases, strict=True):
        _draw_case(row, case, raw_dataset_folder, results, labels)
    figure.savefig(file, dpi=110)


def _draw_labeled(row: Sequence[Axes], raw_dataset_folder: Path, labels: Mapping[str, int]) -> None:
    """Draw the first labeled scans, in the slice with the most of their structures."""
    files = sorted((raw_dataset_folder / "labelsTr").iterdir())
    for axis, file in zip(row[:-1], files, strict=False):
        case = file.name.removesuffix(".nii.gz")
        truth = read_array(file)
        z = int(np.argmax((truth > 0).sum((1, 2))))
        _show(axis, read_array(raw_dataset_folder / "imagesTr" / f"{case}_0000.nii.gz")[z])
        axis.imshow(_coloured(truth[z], labels), interpolation="nearest")
        axis.set_title("Labeled scan", fontsize=FONT_SIZE + 1)
        axis.set_xlabel(case, fontsize=FONT_SIZE - 1)


def _draw_case(
    row: Sequence[Axes],
    case: ShownCase,
    raw_dataset_folder: Path,
    results: tuple[TrainerResult, TrainerResult],
    labels: Mapping[str, int],
) -> None:
    scan = read_array(raw_dataset_folder / "imagesTs" / f"{case.name}_0000.nii.gz")
    truth = read_array(raw_dataset_folder / "labelsTs" / f"{case.name}.nii.gz")
    predictions = [read_array(result.predictions / f"{case.name}.nii.gz") for result in results]
    right = only_one_is_right(truth, *predictions)
    z = most_telling_slice(right, truth)
    for axis in row:
        _show(axis, scan[z])
    row[0].set_xlabel(f"{case.name}: {case.reason}", fontsize=FONT_SIZE - 1)
    for axis, segmentation in zip(row[1:4], (truth, *predictions), strict=True):
        axis.imshow(_coloured(segmentation[z], labels), interpolation="nearest")
    for axis, result in zip(row[2:4], results, strict=True):
        axis.set_xlabel(f"Dice of the scan: {result.dice[case.name]:.2f}", fontsize=FONT_SIZE - 1)
    picture = np.zeros((*right[z].shape, 4))
    for value, colour in enumerate(RIGHT_COLOURS, start=1):
        picture[right[z] == value] = to_rgba(colour, 0.75)
    row[4].imshow(picture, interpolation="nearest")


def only_one_is_right(truth: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """1 where the first prediction alone is right, 2 where the second is, 0 elsewhere; arrays of one shape."""
    return np.where((first == truth) & (second != truth), 1, np.where((second == truth) & (first != truth), 2, 0))


def most_telling_slice(right: np.ndarray, truth: np.ndarray) -> int:
    """Which slice speaks most for the second, of those that show the structures; see :func:`draw_picture`.

    Args:
        right: what :func:`only_one_is_right` returns, of shape (Z, Y, X).
        truth: labels of the same shape.
    """
    shown = (truth > 0).sum((1, 2))
    lead = (right == 2).sum((1, 2)) - (right == 1).sum((1, 2))
    return int(np.argmax(np.where(2 * shown >= shown.max(), lead, -right.size)))


def read_array(file: Path) -> np.ndarray:
    """An image file as an array of shape (Z, Y, X)."""
    return sitk.GetArrayFromImage(sitk.ReadImage(str(file)))


def _show(axis: Axes, scan: np.ndarray) -> None:
    axis.imshow(scan, cmap="gray", interpolation="nearest", vmin=0)


def _coloured(segmentation: np.ndarray, labels: Mapping[str, int]) -> np.ndarray:
    """RGBA picture of a segmentation, transparent where there is background."""
    picture = np.zeros((*segmentation.shape, 4))
    for value, colour in zip(labels.values(), LABEL_COLOURS, strict=False):
        picture[segmentation == value] = to_rgba(colour, 0.5)
    return picture
