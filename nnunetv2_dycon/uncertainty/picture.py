"""The picture of a case: the slices that are least certain, with the segmentation's outline and the entropy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nnunetv2_dycon.files import explained_write_errors, written_aside
from nnunetv2_dycon.pictures import literal, matplotlib_defaults

_INCHES = 3.6
# Those of Okabe and Ito without black, which common colour vision deficiencies leave distinguishable.
_COLOURS = ("#56B4E9", "#E69F00", "#009E73", "#F0E442", "#CC79A7", "#D55E00", "#0072B2")


def least_certain_slices(entropy: np.ndarray, axis: int, number: int) -> list[int]:
    """The slices with the highest mean entropy, the highest first.

    Neighbours look the same, so those nearer than a tenth of the scan to one that is chosen are left out. There may be
    fewer than asked for.

    Args:
        entropy: (X, Y, Z).
        axis: along which slices are counted.
        number: how many.
    """
    others = tuple(other for other in range(entropy.ndim) if other != axis)
    means = entropy.mean(axis=others)
    distance = max(1, len(means) // 10)
    chosen: list[int] = []
    for index in np.argsort(-means, kind="stable").tolist():
        if len(chosen) < number and all(abs(index - other) >= distance for other in chosen):
            chosen.append(index)
    return chosen


@matplotlib_defaults()
def draw_case(
    file: Path,
    title: str,
    scan: np.ndarray,
    masks: dict[str, np.ndarray],
    entropy: np.ndarray,
    spacing: tuple[float, ...],
    largest_entropy: float,
    number: int = 3,
) -> None:
    """Draw up to ``number`` slices as PNG: the scan with the outlines of its structures, and the entropy beside it.

    Slices are cut across the axis with the largest spacing. The colours of the entropy go from 0 to the largest that is
    possible, so that cases compare by eye.

    Args:
        file: to write.
        title: of the picture.
        scan: (X, Y, Z), one channel.
        masks: (X, Y, Z) booleans of each structure by name.
        entropy: (X, Y, Z), nats.
        spacing: of the three axes, mm.
        largest_entropy: nats.
        number: of slices.

    Raises:
        UserError: when the folder cannot be written to.
    """
    axis = int(np.argmax(spacing))
    slices = least_certain_slices(entropy, axis, number)
    rows, columns = [each for index, each in enumerate(spacing) if index != axis]
    limits = np.percentile(scan, (0.5, 99.5))
    # "constrained" cuts off labels beside images, whose aspect is fixed.
    figure = Figure(figsize=(2 * _INCHES + 1, _INCHES * len(slices) + 0.6), layout="compressed")
    figure.suptitle(literal(title))
    axes = figure.subplots(len(slices), 2, squeeze=False)
    for row, index in zip(axes, slices, strict=True):
        for axes_of_slice in row:
            axes_of_slice.set(xticks=[], yticks=[])
        # Readers count slices towards the head and rows towards the back, which belong at the top and at the bottom.
        style = {"interpolation": "nearest", "aspect": rows / columns, "origin": "upper" if axis == 0 else "lower"}
        row[0].imshow(scan.take(index, axis), cmap="gray", vmin=limits[0], vmax=limits[1], **style)
        row[0].set_ylabel(f"slice {index + 1} of {scan.shape[axis]}")
        _draw_outlines(row[0], {name: mask.take(index, axis) for name, mask in masks.items()})
        shown = row[1].imshow(entropy.take(index, axis), cmap="magma", vmin=0, vmax=largest_entropy, **style)
    figure.colorbar(shown, ax=axes[:, 1], label="entropy (nats)", shrink=0.8)
    names = [literal(name) for name in masks][: len(_COLOURS)]
    lines = [Line2D([], [], color=_colour(position)) for position in range(len(names))]
    figure.legend(lines, names, loc="outside lower center", ncols=min(len(names), 4), frameon=False)
    with explained_write_errors(file.parent), written_aside(file) as partial:
        figure.savefig(partial, format="png", dpi=110)


def _draw_outlines(axes: Axes, masks: dict[str, np.ndarray]) -> None:
    for position, mask in enumerate(masks.values()):
        # Matplotlib warns of an outline of nothing.
        if mask.any() and not mask.all():
            axes.contour(mask, levels=[0.5], colors=[_colour(position)], linewidths=1)


def _colour(position: int) -> str:
    return _COLOURS[position % len(_COLOURS)]
