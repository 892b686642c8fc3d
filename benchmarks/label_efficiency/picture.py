"""The report's picture: Dice over labels, and the arms of a budget side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from benchmarks.label_efficiency.arms import METHOD_ARM, REFERENCE_ARM
from benchmarks.label_efficiency.summary import MAIN_METRIC, ArmSummary

_MARKERS = "osD^vP*Xhp<>"


def draw_picture(file: Path, summaries: Sequence[ArmSummary]) -> None:
    """Draw the panels of each dataset into a file.

    Args:
        file: the PNG file to write.
        summaries: of the runs that are done, one at least.
    """
    figure = draw_figure(summaries)
    figure.savefig(file, dpi=150)
    plt.close(figure)


def draw_figure(summaries: Sequence[ArmSummary]) -> Figure:
    """Draw two panels for each dataset.

    The second has the arms of the budget with most of them, one below the other: the larger points are means, the
    smaller ones seeds, the line is the reference. The first, if it is needed, has the curves of the arms with other
    budgets.

    Args:
        summaries: of the runs that are done, one at least.
    """
    panels: list[tuple[Callable[[plt.Axes, Sequence[ArmSummary]], None], list[ArmSummary]]] = []
    for dataset in dict.fromkeys(each.dataset for each in summaries):
        here = [each for each in summaries if each.dataset == dataset and each.metrics[MAIN_METRIC].mean is not None]
        # Of budgets with equally many arms, the one with the fewest labels.
        arms_of_budgets = Counter(sorted(each.labels for each in here))
        budget = max(arms_of_budgets, key=arms_of_budgets.__getitem__, default=None)
        arms_of_curves = {each.arm for each in here if each.labels != budget}
        curves = [each for each in here if each.arm in arms_of_curves]
        if curves:
            panels.append((_draw_curves, curves))
        if budget is not None:
            panels.append((_draw_arms, [each for each in here if each.labels == budget]))
    height = max([5.0, *(0.27 * len(arms) for draw, arms in panels if draw is _draw_arms)])
    figure, axes = plt.subplots(1, max(1, len(panels)), figsize=(6 * max(1, len(panels)), height), squeeze=False)
    for panel, (draw, arms) in zip(axes[0], panels, strict=False):
        draw(panel, arms)
    figure.tight_layout()
    return figure


def _draw_curves(panel: plt.Axes, curves: Sequence[ArmSummary]) -> None:
    for number, arm in enumerate(sorted({each.arm for each in curves}, key=lambda arm: (arm != REFERENCE_ARM, arm))):
        points = sorted((each for each in curves if each.arm == arm), key=lambda each: each.labels)
        colour = _colour(arm) or plt.colormaps["tab20"](number % 20)
        marker = _MARKERS[number % len(_MARKERS)]
        panel.plot(
            [each.labels for each in points], [_mean(each) for each in points], color=colour, marker=marker, label=arm
        )
        for each in points:
            panel.scatter([each.labels] * len(each.scores), each.scores, s=12, color=[colour], alpha=0.5)
    ticks = sorted({each.labels for each in curves})
    panel.set_xscale("log")
    panel.set_xticks(ticks, [str(tick) for tick in ticks])
    panel.minorticks_off()
    panel.set(title=curves[0].dataset, xlabel="labeled cases", ylabel="mean test Dice")
    panel.grid(alpha=0.3)
    panel.legend(fontsize=8)


def _draw_arms(panel: plt.Axes, arms: Sequence[ArmSummary]) -> None:
    ranked = sorted(arms, key=_mean)
    for height, each in enumerate(ranked):
        colour = _colour(each.arm) or "tab:blue"
        panel.scatter(each.scores, [height] * len(each.scores), s=12, color=colour, alpha=0.5)
        panel.scatter([_mean(each)], [height], s=45, color=colour)
        if each.arm == REFERENCE_ARM:
            panel.axvline(_mean(each), color=colour, linewidth=1)
    names = [f"{each.arm} ({len(each.scores)})" for each in ranked]
    panel.set_yticks(range(len(ranked)), names, fontsize=8)
    panel.set(title=f"{ranked[0].dataset}, {ranked[0].labels} labels (number of seeds)", xlabel="mean test Dice")
    panel.grid(alpha=0.3)


def _colour(arm: str) -> str | None:
    return {REFERENCE_ARM: "black", METHOD_ARM: "tab:red"}.get(arm)


def _mean(summary: ArmSummary) -> float:
    mean = summary.metrics[MAIN_METRIC].mean
    assert mean is not None, "arms without a mean are not drawn"
    return mean
