"""The report's picture: Dice over labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt

from benchmarks.label_efficiency.arms import REFERENCE_ARM
from benchmarks.label_efficiency.summary import MAIN_METRIC, ArmSummary

_MARKERS = "osD^vP*Xhp<>"


def draw_picture(file: Path, summaries: Sequence[ArmSummary]) -> None:
    """Draw a panel for each dataset: arms are lines through their means, seeds are points.

    Args:
        file: the PNG file to write.
        summaries: of the runs that are done, one at least.
    """
    datasets = list(dict.fromkeys(each.dataset for each in summaries))
    # The reference is black in every panel, and an arm has the same colour in all.
    arms = [REFERENCE_ARM, *sorted({each.arm for each in summaries} - {REFERENCE_ARM})]
    figure, panels = plt.subplots(1, len(datasets), figsize=(7 * len(datasets), 5.5), squeeze=False)
    for panel, dataset in zip(panels[0], datasets, strict=True):
        here = [each for each in summaries if each.dataset == dataset]
        for number, arm in enumerate(arms):
            _draw_arm(panel, number, [each for each in here if each.arm == arm])
        ticks = sorted({each.labels for each in here})
        panel.set_xscale("log")
        panel.set_xticks(ticks, [str(tick) for tick in ticks])
        panel.minorticks_off()
        panel.set(title=dataset, xlabel="labeled cases", ylabel="mean test Dice")
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(file, dpi=150)
    plt.close(figure)


def _draw_arm(panel: plt.Axes, number: int, points: Sequence[ArmSummary]) -> None:
    points = [each for each in points if each.metrics[MAIN_METRIC].mean is not None]
    if not points:
        return
    colour = "black" if number == 0 else plt.colormaps["tab20"]((number - 1) % 20)
    marker = _MARKERS[number % len(_MARKERS)]
    means = [each.metrics[MAIN_METRIC].mean for each in points]
    panel.plot([each.labels for each in points], means, color=colour, marker=marker, label=points[0].arm)
    for each in points:
        panel.scatter([each.labels] * len(each.scores), each.scores, s=12, color=[colour], alpha=0.5)
