"""The order as text, table and picture."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from nnunetv2_dycon.annotation.rank_cases import RankedCase
from nnunetv2_dycon.files import explained_write_errors, written_aside
from nnunetv2_dycon.pictures import literal, matplotlib_defaults

TABLE, TEXT, PICTURE = "ranking.csv", "ranking.txt", "ranking.png"
# Cells are empty where uncertainty alone decided.
COLUMNS = ("rank", "case", "score", "uncertainty", "distance", "nearest", "distance_to_labeled")
_CHOSEN, _OTHERS = "#D55E00", "#999999"


def text_table(cases: Sequence[RankedCase], labeled: Sequence[str]) -> str:
    """Lines for a terminal, the first case first.

    Args:
        cases: in their order, from the first on.
        labeled: names of the labeled cases, for what a case is most like.
    """
    head = ("rank", "case", "score", "uncertainty", "distance", "most like")
    rows = [head]
    for rank, each in enumerate(cases, start=1):
        distance = "" if each.distance is None else f"{each.distance:.3f}"
        kind = "" if each.nearest is None else f"{each.nearest} ({'labeled' if each.nearest in labeled else 'chosen'})"
        rows.append((str(rank), each.case, f"{each.score:.3f}", f"{each.uncertainty:.3f}", distance, kind))
    # Without distances their columns are empty.
    columns = [column for column in zip(*rows, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) for column in columns]
    is_text = [column[0] in ("case", "most like") for column in columns]
    lines = []
    for row in zip(*columns, strict=True):
        cells = zip(row, widths, is_text, strict=True)
        lines.append("  ".join(f"{cell:<{width}}" if left else f"{cell:>{width}}" for cell, width, left in cells))
    return "\n".join(line.rstrip() for line in lines)


def write_ranking(cases: Sequence[RankedCase], labeled: Sequence[str], number: int, title: str, output: Path) -> None:
    """Write ``ranking.csv`` and ``ranking.txt`` with all cases, and ``ranking.png`` where there are distances.

    Args:
        cases: all, in their order.
        labeled: names of the labeled cases.
        number: of the first cases, which the picture numbers.
        title: of the picture.
        output: the folder.

    Raises:
        UserError: when the folder cannot be written to.
    """
    with explained_write_errors(output):
        with written_aside(output / TABLE) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(COLUMNS)
            for rank, each in enumerate(cases, start=1):
                numbers = (each.score, each.uncertainty, each.distance, each.distance_to_labeled)
                score, uncertainty, distance, to_labeled = ["" if n is None else f"{n:.6g}" for n in numbers]
                writer.writerow((rank, each.case, score, uncertainty, distance, each.nearest or "", to_labeled))
        with written_aside(output / TEXT) as partial:
            partial.write_text(f"{text_table(cases, labeled)}\n", encoding="utf-8")
        if cases[0].distance is None:
            # Of an earlier order.
            (output / PICTURE).unlink(missing_ok=True)
        else:
            with matplotlib_defaults(), written_aside(output / PICTURE) as partial:
                _draw(cases, number, title).savefig(partial, format="png", dpi=110)


def _draw(cases: Sequence[RankedCase], number: int, title: str) -> Figure:
    """Each case as a point: how unlike the labeled ones it is, and how uncertain."""
    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = figure.subplots()
    axes.set_title(literal(title))
    axes.set_xlabel("distance to the nearest labeled scan")
    axes.set_ylabel("uncertainty (1 - expected Dice)")
    groups = (
        ("other unlabeled scans", cases[number:], _OTHERS, 25),
        (f"the first {min(number, len(cases))} to annotate", cases[:number], _CHOSEN, 150),
    )
    for label, group, colour, size in groups:
        if group:
            x, y = zip(*map(_place, group), strict=True)
            axes.scatter(x, y, s=size, c=colour, label=label, linewidths=0)
    for rank, each in enumerate(cases[:number], start=1):
        # Names would lie on each other: scans that are chosen are alike in this.
        axes.annotate(str(rank), _place(each), color="white", fontsize=8, ha="center", va="center_baseline")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def _place(case: RankedCase) -> tuple[float, float]:
    assert case.distance_to_labeled is not None
    return case.distance_to_labeled, case.uncertainty
