"""Pseudo-Dice is nnU-Net's."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.training.statistics import PseudoDice


def result(tp: list[int], fp: list[int], fn: list[int]) -> dict[str, np.ndarray]:
    return {"loss": np.float32(0), "tp_hard": np.array(tp), "fp_hard": np.array(fp), "fn_hard": np.array(fn)}


@pytest.mark.parametrize(
    "results",
    [
        [result([3, 0], [1, 2], [4, 5])],
        [result([3, 8], [1, 2], [4, 5]), result([10, 0], [0, 7], [1, 0])],
        [result([3, 0], [1, 0], [4, 0]), result([2, 0], [1, 0], [0, 0])],
    ],
    ids=["one step", "two steps", "an absent class"],
)
def test_it_equals_what_nnunet_logs(make_trainer: Callable[..., nnUNetTrainer], results: list[dict]) -> None:
    trainer = make_trainer(nnUNetTrainer)
    with np.errstate(invalid="ignore"):
        trainer.on_validation_epoch_end(results)
    pseudo_dice = PseudoDice()
    for step in results:
        pseudo_dice.add(step)
    assert pseudo_dice.pop_mean() == pytest.approx(trainer.logger.get_value("mean_fg_dice", step=-1), rel=1e-12)


def test_without_any_foreground_it_is_nan() -> None:
    pseudo_dice = PseudoDice()
    pseudo_dice.add(result([0], [0], [0]))
    assert math.isnan(pseudo_dice.pop_mean())


def test_reading_starts_again() -> None:
    pseudo_dice = PseudoDice()
    pseudo_dice.add(result([0], [5], [5]))
    assert pseudo_dice.pop_mean() == 0
    pseudo_dice.add(result([5], [0], [0]))
    assert pseudo_dice.pop_mean() == 1


def test_what_the_trainer_returned_is_not_changed() -> None:
    pseudo_dice, first = PseudoDice(), result([3], [1], [4])
    pseudo_dice.add(first)
    pseudo_dice.add(result([1], [1], [1]))
    assert first["tp_hard"].tolist() == [3]
