"""The picture of a comparison: every case as a point, above the diagonal where the second model is better."""

from __future__ import annotations

from typing import BinaryIO

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nnunetv2_dycon.comparison.compare import Comparison
from nnunetv2_dycon.comparison.paired_difference import PairedDifference
from nnunetv2_dycon.uncertainty.picture import literal

# Distinguishable with every common colour vision deficiency.
_BETTER, _WORSE, _EQUAL = "#0072B2", "#D55E00", "0.5"
_MAX_NAMED = 3
_INCHES = 3.6
_BELOW_LABEL = (-35, -38)  # from the lower left corner of the axes, in points
# What fits below the axes.
_MAX_LETTERS = 44


def draw_comparison(comparison: Comparison, file: BinaryIO) -> None:
    """Write the picture as PNG."""
    picture_of(comparison).savefig(file, format="png", dpi=110)


def picture_of(comparison: Comparison) -> Figure:
    """Dice of each model against that of the first, a row a model and a column a class."""
    first, *others = comparison.results
    rows, columns = len(others), max(map(len, comparison.differences))
    figure = Figure(figsize=(_INCHES * columns, (_INCHES + 0.8) * rows + 0.4), layout="constrained")
    figure.suptitle(literal(comparison.title))
    axes = figure.subplots(rows, columns, squeeze=False)
    for row, other, differences in zip(axes, others, comparison.differences, strict=True):
        for axis, each in zip(row, differences, strict=False):
            _draw_class(axis, each)
            # Above the numbers of cases, which among the points would lie on names.
            axis.set_title(literal(each.name), pad=18)
            axis.set(xlabel=literal(f"Dice of {first.name}"), ylabel=literal(f"Dice of {other.name}"))
        for axis in row[len(differences) :]:
            axis.set_visible(False)
    return figure


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
    numbers: dict[tuple[float, float], list[str]] = {}
    for number, case in enumerate(worst, 1):
        # Numbers of points in one place would lie on each other.
        numbers.setdefault((round(each.first[case], 2), round(each.second[case], 2)), []).append(str(number))
    for place, of_place in numbers.items():
        # Below the point, but above one at the lower edge, where the number would cross the axis.
        is_lowest = place[1] - limits[0] < 0.05 * (limits[1] - limits[0])
        axis.annotate(
            ", ".join(of_place),
            place,
            xytext=(3, 3 if is_lowest else -8),
            textcoords="offset points",
            fontsize=7,
            color="0.3",
        )
    # Below the axis, as among the points names would cover others and, at the edge, be cut.
    names = "\n".join(f"{number}: {_shortened(case)}" for number, case in enumerate(worst, 1))
    axis.annotate(
        literal(names),
        (0, 0),
        xycoords="axes fraction",
        xytext=_BELOW_LABEL,
        textcoords="offset points",
        va="top",
        fontsize=7,
        color="0.3",
    )


def _shortened(name: str) -> str:
    half = _MAX_LETTERS // 2
    return name if len(name) <= _MAX_LETTERS else f"{name[:half]}…{name[-half:]}"
