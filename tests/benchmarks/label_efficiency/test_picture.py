from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from benchmarks.label_efficiency.picture import draw_figure
from benchmarks.label_efficiency.runs import Workspace, read_records
from benchmarks.label_efficiency.summary import summarise


@pytest.fixture
def figure(recorded_workspace: Workspace) -> Iterator[Figure]:
    """Of the records' dataset, and of one that has its 4 labels alone."""
    summaries = summarise(read_records(recorded_workspace))
    others = [replace(each, dataset="other") for each in summaries if each.labels == 4]
    figure = draw_figure([*summaries, *others])
    yield figure
    plt.close(figure)


def test_panels(figure: Figure) -> None:
    titles = [panel.get_title() for panel in figure.axes]
    assert titles == ["set", "set, 4 labels (number of seeds)", "other, 4 labels (number of seeds)"]


def test_curves_are_of_the_arms_with_other_budgets(figure: Figure) -> None:
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert list(lines) == ["nnUNet", "MeanTeacher"]
    assert list(lines["nnUNet"].get_xdata()) == [4, 16, 64]
    assert list(lines["nnUNet"].get_ydata()) == pytest.approx([0.70, 0.80, 0.85])
    assert list(lines["MeanTeacher"].get_ydata()) == pytest.approx([0.73, 0.96])


def test_an_arm_of_another_budget_alone_is_among_the_curves(recorded_workspace: Workspace) -> None:
    summaries = summarise(read_records(recorded_workspace))
    lone = next(each for each in summaries if (each.arm, each.labels) == ("MeanTeacher", 16))
    figure = draw_figure([*summaries, replace(lone, arm="BCP")])
    assert [line.get_label() for line in figure.axes[0].lines] == ["nnUNet", "BCP", "MeanTeacher"]
    plt.close(figure)


def test_arms_of_a_budget_are_ranked(figure: Figure) -> None:
    panel = figure.axes[1]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["nnUNet (2)", "MeanTeacher (1)", "DyCON (2)"]
    points = [[tuple(point) for point in each.get_offsets()] for each in panel.collections]
    # Seeds, then their mean, for each arm from the bottom.
    assert points[4] == [pytest.approx((0.74, 2)), pytest.approx((0.76, 2))]
    assert points[1::2] == [[pytest.approx(point)] for point in ((0.70, 0), (0.73, 1), (0.75, 2))]
    (reference,) = panel.lines
    assert reference.get_xdata() == pytest.approx([0.70, 0.70])


def test_an_arm_has_one_colour_in_a_panel(figure: Figure) -> None:
    seeds_and_means = [tuple(each.get_facecolor()[0][:3]) for each in figure.axes[1].collections]
    assert seeds_and_means[0::2] == seeds_and_means[1::2]
    assert len(set(seeds_and_means)) == 3
