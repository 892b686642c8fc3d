"""The logger keeps further keys and draws them beside nnU-Net's panels."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Text
from nnunetv2.training.logging.nnunet_logger import LocalLogger

from nnunetv2_dycon.losses.label_space import Classes
from nnunetv2_dycon.methods.bcp import BCP
from nnunetv2_dycon.methods.dycon import DyCON
from nnunetv2_dycon.methods.dycon_co_training import DyCONCoTraining
from nnunetv2_dycon.methods.dycon_settings import DyCONSettings
from nnunetv2_dycon.methods.method import Method
from nnunetv2_dycon.methods.uamt import UAMT
from nnunetv2_dycon.training.logger import SemiSupervisedLogger, all_panels_of, draw_panels, logger_of

PANELS = {"loss": ("uncl_loss", "fecl_loss"), "beta": ("beta",)}


def log_epoch(logger: LocalLogger, epoch: int) -> None:
    for key in list(logger.my_fantastic_logging):
        logger.log(key, float(epoch), epoch)


def picture(logger: LocalLogger, folder: Path) -> np.ndarray:
    logger.plot_progress_png(str(folder))
    return plt.imread(folder / "progress.png")[..., :3]


def test_keys_are_registered_beside_those_of_nnunet() -> None:
    logger = SemiSupervisedLogger(PANELS)
    assert list(logger.my_fantastic_logging) == [*LocalLogger().my_fantastic_logging, "uncl_loss", "fecl_loss", "beta"]
    logger.log("beta", 0.5, 0)
    logger.log("beta", 0.25, 1)
    assert logger.get_value("beta", step=None) == [0.5, 0.25]
    assert logger.get_value("uncl_loss", step=None) == []
    with pytest.raises(AssertionError):
        logger.log("typo", 1, 0)


def test_keys_that_are_not_drawn_are_registered_and_leave_the_picture_as_it_is(tmp_path: Path) -> None:
    pictures = []
    for not_drawn in ((), ("waiting",)):
        logger = SemiSupervisedLogger(PANELS, not_drawn=not_drawn)
        log_epoch(logger, 0)
        assert ("waiting" in logger.my_fantastic_logging) == bool(not_drawn)
        assert logger.describe_epoch() == ["loss: uncl_loss 0, fecl_loss 0", "beta: beta 0"]
        logger.my_fantastic_logging["fecl_loss"] = logger.my_fantastic_logging["beta"] = [float("nan")]
        assert logger.describe_epoch() == ["loss: uncl_loss 0"]
        pictures.append(picture(logger, tmp_path)[:, -1000:])
    assert np.array_equal(*pictures)


def test_two_loggers_share_no_values() -> None:
    logger = SemiSupervisedLogger(PANELS)
    logger.log("beta", 0.5, 0)
    assert SemiSupervisedLogger(PANELS).get_value("beta", step=None) == []


def test_the_picture_has_panels_of_nnunet_on_the_left_and_ours_on_the_right(tmp_path: Path) -> None:
    stock, logger = LocalLogger(), SemiSupervisedLogger(PANELS)
    for epoch in range(2):
        log_epoch(stock, epoch)
        log_epoch(logger, epoch)
    logger.my_fantastic_logging["fecl_loss"] = [float("nan"), 1.0]
    theirs, both = picture(stock, tmp_path), picture(logger, tmp_path)
    assert both.shape[0] == theirs.shape[0]
    assert both.shape[1] > 1.5 * theirs.shape[1]
    assert np.array_equal(both[:, : theirs.shape[1]], theirs)
    ours = both[:, theirs.shape[1] :]
    for half in np.array_split(ours, 2):
        assert (half == 1).any()
        assert (half < 0.5).any()
    assert plt.get_fignums() == []


def dycon_logger(**settings: Any) -> SemiSupervisedLogger:
    return logger_of(DyCON(DyCONSettings(**settings), Classes()), verbose=False, not_drawn=("waiting",))


# Of all methods, the most panels, and those with other titles.
@pytest.mark.parametrize("method", [DyCONCoTraining, UAMT, BCP], ids=lambda method: method.__name__)
def test_everything_beside_the_curves_can_be_read(method: type[Method[Any, Any]]) -> None:
    panels = all_panels_of(method(method.settings_class(), Classes()))
    # Small values, which matplotlib would write with a common factor above the axis.
    names = [name for keys in panels.values() for name in keys]
    values = {name: [math.nan, *(1e-5 * (index + epoch) for epoch in range(5))] for index, name in enumerate(names)}
    figure = draw_panels(panels, values, dots_per_inch=50)
    figure.draw_without_rendering()
    bounds = [axis.get_tightbbox() for axis in figure.axes]
    assert all(figure.bbox.x0 < box.x0 and box.x1 < figure.bbox.x1 for box in bounds)
    assert figure.bbox.y1 > bounds[0].y1
    assert figure.bbox.y0 < bounds[-1].y0
    assert all(above.y0 > below.y1 for above, below in itertools.pairwise(bounds))
    for axis, title in zip(figure.axes, panels, strict=True):
        # Before the legend, in which a panel and its only curve may have the same name.
        heading = next(text for text in axis.findobj(Text) if text.get_text() == title)
        assert not heading.get_window_extent().overlaps(axis.get_legend().get_window_extent())
        assert heading.get_window_extent().y0 >= axis.bbox.y1 - 1
        assert axis.get_legend().get_window_extent().y0 >= axis.bbox.y1 - 1


def test_terms_without_a_weight_are_kept_and_not_shown() -> None:
    both, one = dycon_logger(fecl_weight=0.1), dycon_logger(fecl_weight=0)
    assert both.my_fantastic_logging.keys() == one.my_fantastic_logging.keys()
    assert both.panels["weight"] == ("ramp", "uncl_weight", "fecl_weight")
    assert not [key for keys in one.panels.values() for key in keys if "fecl" in key]
    assert one.panels["weight"] == ("ramp", "uncl_weight")
    log_epoch(one, 0)
    assert "weight: ramp 0, uncl_weight 0" in one.describe_epoch()


def test_a_value_without_a_meaning_is_kept_and_not_shown() -> None:
    soft, hard = dycon_logger(), dycon_logger(uncl_distance="pseudo_labels")
    assert soft.my_fantastic_logging.keys() == hard.my_fantastic_logging.keys()
    assert hard.panels["confident voxels"] == ("confident_fraction",)
    assert "confident voxels" not in soft.panels


def test_without_any_term_there_is_nothing_of_unlabeled_scans_to_show() -> None:
    logger = dycon_logger(fecl_weight=0, uncl_weight=0)
    assert list(logger.panels) == ["pseudo dice"]
    assert logger.my_fantastic_logging.keys() == dycon_logger().my_fantastic_logging.keys()


def test_cases_with_foreground_are_shown_once_the_teacher_has_been_asked() -> None:
    logger = dycon_logger()
    for epoch, (ramp, cases, expected) in enumerate([(0.0, 0.0, False), (0.1, 0.0, True), (0.0, 0.5, True)]):
        log_epoch(logger, epoch)
        logger.my_fantastic_logging["ramp"][epoch] = ramp
        logger.my_fantastic_logging["cases_with_foreground"][epoch] = cases
        line = f"unlabeled cases with foreground: cases_with_foreground {cases:g}"
        assert (line in logger.describe_epoch()) == expected
        assert any("cases_with_foreground" in line for line in logger.describe_epoch()) == expected
    assert logger.my_fantastic_logging["cases_with_foreground"] == [0.0, 0.0, 0.5]


def test_cases_with_foreground_are_not_shown_where_they_are_not_noted() -> None:
    logger = dycon_logger(unlabeled_foreground_fraction=0)
    assert "unlabeled cases with foreground" not in logger.panels
    assert "cases_with_foreground" in logger.my_fantastic_logging


def test_a_panel_without_a_value_says_so() -> None:
    figure = draw_panels({"a": ("x",), "b": ("y",)}, {"x": [math.nan, math.nan], "y": [math.nan, 0.5]}, 50)
    assert [[text.get_text() for text in axis.texts] for axis in figure.axes] == [["no value yet"], []]
