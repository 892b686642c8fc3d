"""The logger keeps further keys and draws them beside nnU-Net's panels."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from nnunetv2.training.logging.nnunet_logger import LocalLogger

from nnunetv2_dycon.training.logger import SemiSupervisedLogger

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
