"""The table and the picture of the benchmark of the loaders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot as plt

from benchmarks.common.report import markdown_table, verdict

BAR = 0.85
LABELED, TWO_VIEWS = "nnU-Net's loader", "two-view loader"


def result(case: str, rates: dict[str, list[float]]) -> dict[str, Any]:
    """All figures of one case, as they stand in the JSON file.

    Args:
        case: its name.
        rates: patches a second of each loader in each round.

    Returns:
        The raw figures, the rates over all rounds together, and their ratio.
    """
    # Rounds are of equally many patches: the rate of all together is the harmonic mean.
    overall = {loader: len(values) / sum(1 / value for value in values) for loader, values in rates.items()}
    return {
        "case": case,
        "patches_per_second_by_round": rates,
        "patches_per_second": overall,
        "ratio": overall[TWO_VIEWS] / overall[LABELED],
    }


def table(results: list[dict[str, Any]]) -> str:
    """The figures as a Markdown table.

    Args:
        results: the cases.

    Returns:
        The text.
    """
    rows = []
    for each in results:
        figures = [f"{each['patches_per_second'][loader]:.4g}" for loader in (LABELED, TWO_VIEWS)]
        rows.append([each["case"], *figures, f"{each['ratio']:.3f}", verdict(each["ratio"], BAR, at_least=True)])
    return markdown_table(["case", f"{LABELED} (patches/s)", f"{TWO_VIEWS} (patches/s)", "ratio", "bar"], rows)


def draw(file: Path, results: list[dict[str, Any]], machine: dict[str, Any]) -> None:
    """Draw the ratios, of each round and of all together.

    Args:
        file: the PNG file.
        results: the cases.
        machine: what was measured on.
    """
    figure, panel = plt.subplots(figsize=(2.2 + 2 * len(results), 4.5), layout="constrained")
    names = [each["case"] for each in results]
    bars = panel.bar(names, [each["ratio"] for each in results], width=0.5)
    panel.bar_label(bars, fmt="%.2f")
    for index, each in enumerate(results):
        rounds = each["patches_per_second_by_round"]
        ratios = [two / one for two, one in zip(rounds[TWO_VIEWS], rounds[LABELED], strict=True)]
        panel.plot([index] * len(ratios), ratios, "k.", alpha=0.4, label="each round" if index == 0 else None)
    panel.axhline(BAR, color="tab:red", linestyle="--", label=f"at least {BAR:g}")
    panel.axhline(1, color="black", linewidth=0.8, label=LABELED)
    panel.set_title(f"patches a second of the {TWO_VIEWS},\nratio to {LABELED}")
    panel.set_ylim(bottom=0)
    panel.legend(loc="lower right")
    figure.suptitle(", ".join(f"{name} {value}" for name, value in machine.items()), fontsize=7)
    figure.savefig(file, dpi=150)
    plt.close(figure)
