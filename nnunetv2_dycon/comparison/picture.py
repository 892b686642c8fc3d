"""The picture of a comparison: every case as a point, above the diagonal where the second model is better."""

from __future__ import annotations

import bisect
import math
from typing import BinaryIO

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from nnunetv2_dycon.comparison.compare import Comparison
from nnunetv2_dycon.comparison.paired_difference import PairedDifference
from nnunetv2_dycon.pictures import literal, matplotlib_defaults

# Distinguishable with every common colour vision deficiency.
_BETTER, _WORSE, _EQUAL = "#0072B2", "#D55E00", "0.5"
_MAX_NAMED = 3
_INCHES = 3.6
_SMALL = 7  # points, of numbers and names of cases
_LABEL_WIDTH = 125.0  # points of small text, that fit along an axis in its larger letters
_NAMES_WIDTH = 195.0  # points, that fit below the axes


@matplotlib_defaults()
def draw_comparison(comparison: Comparison, file: BinaryIO) -> None:
    """Write the picture as PNG."""
    picture_of(comparison).savefig(file, format="png", dpi=110)


@matplotlib_defaults()
def picture_of(comparison: Comparison) -> Figure:
    """Dice of each model against that of the first, a row a model and a column a class."""
    first, *others = comparison.results
    rows, columns = len(others), max(map(len, comparison.differences))
    # Each line of its label moves what is below the axis down.
    below = 0.8 + 0.2 * _axis_label(first.name).count("\n")
    figure = Figure(figsize=(_INCHES * columns, (_INCHES + below) * rows + 0.5), layout="constrained")
    figure.suptitle(literal(comparison.title))
    axes = figure.subplots(rows, columns, squeeze=False)
    for row, other, differences in zip(axes, others, comparison.differences, strict=True):
        for axis, each in zip(row, differences, strict=False):
            _draw_class(axis, each)
            # Above the numbers of cases, which among the points would lie on names.
            axis.set_title(literal(each.name), pad=18)
            axis.set(xlabel=_axis_label(first.name), ylabel=_axis_label(other.name))
        for axis in row[len(differences) :]:
            axis.set_visible(False)
    return figure


def _axis_label(model: str) -> str:
    # The name of a folder is longer than the axis.
    lines = f"Dice of {model}".replace("/", "/\n").replace("__", "\n__").splitlines()
    return "\n".join(_fitting(line, _LABEL_WIDTH) for line in lines)


def _draw_class(axis: Axes, each: PairedDifference) -> None:
    x, y = list(each.first.values()), list(each.second.values())
    lowest = min([*x, *y], default=0.0)
    limits = (max(lowest - 0.05, -0.02), 1.02)
    axis.plot(limits, limits, color="0.6", linewidth=1, zorder=1)
    colours = [
        _BETTER if second > first else _WORSE if second < first else _EQUAL for first, second in zip(x, y, strict=True)
    ]
    axis.scatter(x, y, s=22, c=colours, alpha=0.8, linewidths=0, zorder=2)
    axis.set(xlim=limits, ylim=limits, aspect="equal")
    axis.text(0, 1.02, f"{each.won} better", color=_BETTER, transform=axis.transAxes)
    axis.text(1, 1.02, f"{each.lost} worse", color=_WORSE, transform=axis.transAxes, ha="right")
    worst = [case for case, difference in list(each.differences.items())[:_MAX_NAMED] if difference < 0]
    span = limits[1] - limits[0]
    # Numbers of points close to each other would lie on each other.
    numbers: dict[tuple[float, float], list[str]] = {}
    for number, case in enumerate(worst, 1):
        place = (each.first[case], each.second[case])
        close = (other for other in numbers if math.dist(other, place) < 0.05 * span)
        numbers.setdefault(next(close, place), []).append(str(number))
    for place, of_place in numbers.items():
        # Beside the point, on the side where the number does not cross an axis.
        is_lowest, is_right = place[1] - limits[0] < 0.05 * span, limits[1] - place[0] < 0.12 * span
        axis.annotate(
            ", ".join(of_place),
            place,
            xytext=(-4 if is_right else 4, 3 if is_lowest else -8),
            textcoords="offset points",
            ha="right" if is_right else "left",
            fontsize=_SMALL,
            color="0.3",
        )
    # Below the axis, as among the points names would cover others and, at the edge, be cut.
    names = "\n".join(_fitting(f"{number}: {case}", _NAMES_WIDTH) for number, case in enumerate(worst, 1))
    axis.annotate(
        names,
        (0, 0),
        xycoords=("axes fraction", axis.xaxis.label),
        xytext=(-35, -5),
        textcoords="offset points",
        va="top",
        fontsize=_SMALL,
        color="0.3",
    )


def _fitting(text: str, points: float) -> str:
    """One line of small text that is at most so wide; where it would be wider, some of its middle is left out."""
    text = " ".join(text.split())

    def shortened_to(letters: int) -> str:
        last = letters // 3
        return literal(f"{text[: letters - last]}…{text[-last:]}")

    if _width(literal(text)) <= points:
        return literal(text)
    number = bisect.bisect_right(range(3, len(text)), points, key=lambda letters: _width(shortened_to(letters)))
    return shortened_to(2 + number)


def _width(text: str) -> float:
    return float(TextPath((0, 0), text, prop=FontProperties(size=_SMALL)).get_extents().width)
