"""A comparison as text, as a table of cases, and as one page that holds everything."""

from __future__ import annotations

import base64
import csv
import html
import io
import math
from collections.abc import Sequence
from pathlib import Path

from nnunetv2_dycon.comparison.compare import Comparison
from nnunetv2_dycon.comparison.paired_difference import PairedDifference
from nnunetv2_dycon.comparison.picture import draw_comparison
from nnunetv2_dycon.files import written_aside

NOTE = (
    "Difference: Dice of the trainer minus that of the first, over the cases that both have. Interval: 95 %, paired "
    "bootstrap over cases; it speaks of other cases, not of another training."
)
_MAX_WORST = 5
_STYLE = """
body { font-family: sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: 0.3rem 0.8rem; border-bottom: 1px solid #ccc; text-align: right; }
th:first-child, td:first-child { text-align: left; }
.warning { background: #fff3cd; padding: 0.5rem 0.8rem; margin: 0.5rem 0; }
img { max-width: 100%; }
"""


def text_report(comparison: Comparison) -> str:
    """The whole comparison as plain text."""
    blocks = [comparison.title, *(f"Warning: {warning}" for warning in comparison.warnings)]
    for heading, table in _tables(comparison):
        blocks.append(f"{heading}\n\n{_aligned(table)}")
    return "\n\n".join([*blocks, NOTE])


def write_reports(comparison: Comparison, folder: Path) -> None:
    """Write ``comparison.txt``, ``.csv`` (Dice of every case), ``.png`` and ``.html`` (all in one file)."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = io.BytesIO()
    draw_comparison(comparison, picture)
    contents = {
        "comparison.txt": f"{text_report(comparison)}\n".encode(),
        "comparison.csv": _csv(comparison).encode(),
        "comparison.png": picture.getvalue(),
        "comparison.html": _page(comparison, picture.getvalue()).encode(),
    }
    for name, content in contents.items():
        with written_aside(folder / name) as partial:
            partial.write_bytes(content)


def _tables(comparison: Comparison) -> list[tuple[str, list[list[str]]]]:
    """Heading and rows of each table, the first row being its header."""
    first, *others = comparison.results
    tables = []
    for other, differences in zip(others, comparison.differences, strict=True):
        header = ["Dice", "cases", first.name, other.name, "difference", "interval", "won", "lost", "verdict"]
        tables.append((f"{other.name} against {first.name}", [header, *map(_row, differences)]))
        overall = differences[-1]
        worst = list(overall.differences.items())[:_MAX_WORST]
        rows = [
            [case, f"{overall.first[case]:.4f}", f"{overall.second[case]:.4f}", f"{difference:+.4f}"]
            for case, difference in worst
            if difference < 0
        ]
        if rows:
            header = ["case", first.name, other.name, "difference"]
            tables.append((f"Where {other.name} loses most ({overall.name})", [header, *rows]))
        lowest = sorted(overall.second.items(), key=lambda item: item[1])[:_MAX_WORST]
        rows = [[case, f"{overall.first[case]:.4f}", f"{dice:.4f}"] for case, dice in lowest]
        tables.append((f"Lowest Dice of {other.name} ({overall.name})", [["case", first.name, other.name], *rows]))
    return tables


def _row(each: PairedDifference) -> list[str]:
    interval = each.interval
    return [
        each.name,
        str(len(each.first)),
        *(_number(mean) for mean in each.means),
        _number(each.difference, "+.4f"),
        "" if interval is None else f"[{interval[0]:+.4f}, {interval[1]:+.4f}]",
        str(each.won),
        str(each.lost),
        each.verdict,
    ]


def _number(value: float, form: str = ".4f") -> str:
    return "" if math.isnan(value) else format(value, form)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        for row in rows
    ]
    return "\n".join("  ".join(line).rstrip() for line in lines)


def _csv(comparison: Comparison) -> str:
    """A row for each case and class, a column for each model; empty where a model has no Dice."""
    results = comparison.results
    keys = dict.fromkeys((case, name) for each in results for case, dice in each.dice.items() for name in dice)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["case", "class", *(each.name for each in results)])
    for case, name in keys:
        values = [each.dice.get(case, {}).get(name, math.nan) for each in results]
        writer.writerow([case, name, *(_number(value, ".6f") for value in values)])
    return file.getvalue()


def _page(comparison: Comparison, picture: bytes) -> str:
    parts = [f"<h1>{html.escape(comparison.title)}</h1>"]
    parts += [f'<p class="warning">{html.escape(warning)}</p>' for warning in comparison.warnings]
    for heading, (header, *rows) in _tables(comparison):
        lines = ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows]
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        parts.append(f"<h2>{html.escape(heading)}</h2><table><tr>{head}</tr>{body}</table>")
    encoded = base64.b64encode(picture).decode()
    parts.append(f'<p>{html.escape(NOTE)}</p><img alt="Dice of every case" src="data:image/png;base64,{encoded}">')
    title = html.escape(comparison.title)
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )
