"""The table and the picture of the benchmark of the training step."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot as plt

from benchmarks.common.report import markdown_table, verdict

# One more forward and backward pass, and one more forward pass for the teacher, where a backward pass takes twice
# as long as a forward pass.
LIMIT = 7 / 3
BARS = {"seconds_ratio": 2.5, "peak_ratio": 1.25}
PLAIN, DYCON = "nnUNetTrainer", "nnUNetTrainerDyCON"
MEBIBYTE = 1024**2


def result(
    case: str, seconds: dict[str, list[float]], memory: dict[str, dict[str, int]], parts: list[tuple[str, str, float]]
) -> dict[str, Any]:
    """All figures of one case, as they stand in the JSON file.

    Args:
        case: its name.
        seconds: of each step of each trainer.
        memory: bytes ``built`` and ``peak`` of each trainer.
        parts: phase, part and seconds of a DyCON step.

    Returns:
        The raw figures and their ratios.
    """
    medians = {trainer: median(values) for trainer, values in seconds.items()}
    # Of neighbours in time, which what else a machine does meets alike.
    ratios = [dycon / plain for dycon, plain in zip(seconds[DYCON], seconds[PLAIN], strict=True)]
    # What a step takes beyond the weights, which is what one more pass held at the same time would raise.
    beyond = {trainer: figures["peak"] - figures["built"] for trainer, figures in memory.items()}
    return {
        "case": case,
        "seconds": seconds,
        "median_seconds": medians,
        "seconds_ratio": median(ratios),
        "bytes": memory,
        "peak_ratio": memory[DYCON]["peak"] / memory[PLAIN]["peak"],
        "peak_beyond_weights_ratio": beyond[DYCON] / beyond[PLAIN],
        "parts": [{"phase": phase, "part": part, "seconds": value} for phase, part, value in parts],
    }


def table(results: list[dict[str, Any]]) -> str:
    """The figures as Markdown tables.

    Args:
        results: the cases.

    Returns:
        The text.
    """
    rows = []
    for each in results:
        seconds, memory = each["median_seconds"], each["bytes"]
        peaks = [memory[trainer]["peak"] / MEBIBYTE for trainer in (PLAIN, DYCON)]
        beyond = [(memory[trainer]["peak"] - memory[trainer]["built"]) / MEBIBYTE for trainer in (PLAIN, DYCON)]
        rows += [
            _row(
                each["case"], "time of a step (s)", [seconds[PLAIN], seconds[DYCON]], each["seconds_ratio"], "seconds"
            ),
            _row("", "peak memory (MiB)", peaks, each["peak_ratio"], "peak"),
            _row("", "of it beyond weights and teacher (MiB)", beyond, each["peak_beyond_weights_ratio"], None),
        ]
    text = markdown_table(["case", "quantity", PLAIN, DYCON, "ratio", "bar"], rows)
    for each in results:
        plain = each["median_seconds"][PLAIN]
        parts = [
            [part["phase"], part["part"], f"{1000 * part['seconds']:.1f}", f"{part['seconds'] / plain:.3f}"]
            for part in each["parts"]
        ]
        header = [f"{each['case']}: phase", "part of a DyCON step", "time (ms)", f"of {PLAIN}'s step"]
        text += "\n\n" + markdown_table(header, parts)
    return text


def _row(case: str, quantity: str, values: list[float], ratio: float, bar: str | None) -> list[str]:
    figures = [f"{value:.4g}" for value in values]
    return [case, quantity, *figures, f"{ratio:.3f}", "-" if bar is None else verdict(ratio, BARS[f"{bar}_ratio"])]


def draw(file: Path, results: list[dict[str, Any]], machine: dict[str, Any]) -> None:
    """Draw the ratios and the parts of a DyCON step, in units of nnUNetTrainer's.

    Args:
        file: the PNG file.
        results: the cases.
        machine: what was measured on.
    """
    names = [each["case"] for each in results]
    figure, panels = plt.subplots(1, 3, figsize=(15, 5), width_ratios=[1, 1, 1.6], layout="constrained")
    for panel, (key, bar), title in zip(panels, BARS.items(), ("time of a step", "peak memory"), strict=False):
        bars = panel.bar(names, [each[key] for each in results], width=0.5)
        panel.bar_label(bars, fmt="%.2f")
        panel.axhline(bar, color="tab:red", linestyle="--", label=f"at most {bar:g}")
        panel.axhline(1, color="black", linewidth=0.8, label=PLAIN)
        panel.set(title=f"{title}, ratio to {PLAIN}'s", ylim=(0, 1.15 * max(bar, *(each[key] for each in results))))
        panel.legend(loc="lower right")
    for index, each in enumerate(results):
        bottom, plain = 0.0, each["median_seconds"][PLAIN]
        for number, part in enumerate(each["parts"]):
            label = f"{part['phase']}: {part['part']}" if index == 0 else None
            height = part["seconds"] / plain
            panels[2].bar(index, height, 0.5, bottom, label=label, color=plt.colormaps["tab20"](number % 20))
            bottom += height
    panels[2].axhline(LIMIT, color="black", linestyle=":", label=f"least possible, {LIMIT:.2f}")
    panels[2].set(title=f"parts of a DyCON step, in units of {PLAIN}'s", xticks=range(len(names)), xticklabels=names)
    panels[2].legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.suptitle(", ".join(f"{name} {value}" for name, value in machine.items()), fontsize=9)
    figure.savefig(file, dpi=150)
    plt.close(figure)
