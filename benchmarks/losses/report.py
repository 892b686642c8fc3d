"""The table, the JSON file and the picture of a benchmark of the losses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot as plt
from matplotlib.ticker import NullLocator

from benchmarks.common.report import markdown_table, write_json
from benchmarks.losses.measure import IMPLEMENTATIONS, REFERENCE

MEBIBYTE = 1024**2
QUANTITIES = (("seconds", "time, forward and backward (s)"), ("peak_mebibytes", "peak memory beyond the inputs (MiB)"))
SIZE_NAMES = {"FeCL": "cells N of (2, N, 256)", "UnCL": "edge P of (2, 4, P, P, P)"}


def row(loss: str, size: int, implementation: str, seconds: float | None, peak_bytes: int | None) -> dict[str, Any]:
    """One measurement, as it stands in the JSON file.

    Args:
        loss: name of the loss.
        size: size of the inputs.
        implementation: name of the implementation.
        seconds: its time, or None if it was not run.
        peak_bytes: its memory, or None if it was not run.

    Returns:
        The row, without ratios.
    """
    peak_mebibytes = None if peak_bytes is None else peak_bytes / MEBIBYTE
    return {
        "loss": loss,
        "size": size,
        "implementation": implementation,
        "seconds": seconds,
        "peak_mebibytes": peak_mebibytes,
    }


def add_ratios(rows: list[dict[str, Any]]) -> None:
    """Add to each row what part of the reference's time and memory it takes; None without the reference's.

    Args:
        rows: the measurements.
    """
    references = {(row["loss"], row["size"]): row for row in rows if row["implementation"] == REFERENCE}
    for each in rows:
        reference = references[each["loss"], each["size"]]
        for quantity, _ in QUANTITIES:
            # The memory of a tiny case may not be measurable at all.
            comparable = reference[quantity] and each[quantity] is not None
            each[f"{quantity}_ratio"] = each[quantity] / reference[quantity] if comparable else None


def table(rows: list[dict[str, Any]]) -> str:
    """The measurements as a Markdown table.

    Args:
        rows: the measurements with ratios.

    Returns:
        The text.
    """
    header = ["loss", "size", "implementation", "time (s)", "of reference", "peak (MiB)", "of reference"]
    columns = ["seconds", "seconds_ratio", "peak_mebibytes", "peak_mebibytes_ratio"]
    lines = []
    for each in rows:
        figures = ["-" if each[column] is None else f"{each[column]:.3g}" for column in columns]
        lines.append([each["loss"], str(each["size"]), each["implementation"], *figures])
    return markdown_table(header, lines)


def write(folder: Path, environment: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Write ``losses.json`` and ``losses.png``.

    Args:
        folder: where to; made if it is not there.
        environment: what the measurements were taken on.
        rows: the measurements with ratios.
    """
    write_json(folder / "losses.json", {"environment": environment, "measurements": rows})
    losses = [loss for loss in IMPLEMENTATIONS if any(each["loss"] == loss for each in rows)]
    figure, axes = plt.subplots(len(losses), 2, figsize=(10, 3.8 * len(losses)), squeeze=False, layout="constrained")
    for loss, panels in zip(losses, axes, strict=True):
        for (quantity, label), panel in zip(QUANTITIES, panels, strict=True):
            for implementation in IMPLEMENTATIONS[loss]:
                # A case that was not run has no point, nor has memory too little to be seen: the axes are logarithmic.
                points = [
                    each
                    for each in rows
                    if (each["loss"], each["implementation"]) == (loss, implementation) and each[quantity]
                ]
                sizes, values = [each["size"] for each in points], [each[quantity] for each in points]
                panel.plot(sizes, values, marker="o", label=implementation)
            yscale = "log" if any(each[quantity] for each in rows if each["loss"] == loss) else "linear"
            panel.set(title=f"{loss}: {label}", xlabel=SIZE_NAMES[loss], xscale="log", yscale=yscale)
            ticks = sorted({each["size"] for each in rows if each["loss"] == loss})
            panel.set_xticks(ticks, labels=map(str, ticks))
            panel.xaxis.set_minor_locator(NullLocator())
            panel.grid(visible=True, which="both", alpha=0.3)
            panel.legend()
    figure.suptitle(", ".join(f"{name} {value}" for name, value in environment.items()), fontsize=9)
    figure.savefig(folder / "losses.png", dpi=150)
    plt.close(figure)
