"""Means over an epoch."""

from __future__ import annotations

import math

import pytest
import torch

from nnunetv2_dycon.training.statistics import EpochStatistics


def test_means_are_over_what_was_added() -> None:
    statistics = EpochStatistics(["tensor", "number", "mixed"])
    for value in (1, 2, 6):
        statistics.add("tensor", torch.tensor(float(value)))
    statistics.add("number", 0.1)
    statistics.add("mixed", 1)
    statistics.add("mixed", torch.tensor(2.0))
    # Exactly 0.1: numbers are not stacked with the tensors, which may be on another device.
    assert statistics.pop_means() == {"tensor": 3, "number": 0.1, "mixed": 1.5}


def test_the_mean_of_nothing_is_nan() -> None:
    means = EpochStatistics(["nothing"]).pop_means()
    assert list(means) == ["nothing"]
    assert math.isnan(means["nothing"])


def test_reading_starts_again() -> None:
    statistics = EpochStatistics(name for name in ["loss", "other"])
    statistics.add("loss", 100.0)
    statistics.pop_means()
    statistics.add("loss", 2.0)
    assert statistics.pop_means()["loss"] == 2
    assert math.isnan(statistics.pop_means()["loss"])


def test_tensors_are_detached_and_not_changed() -> None:
    statistics = EpochStatistics(["loss"])
    loss = torch.ones((), requires_grad=True) * 2
    for _ in range(2):
        statistics.add("loss", loss)
    assert not statistics._sums["loss"].requires_grad
    assert loss.item() == 2


def test_half_precision_is_summed_in_single() -> None:
    statistics = EpochStatistics(["loss"])
    for _ in range(3):
        statistics.add("loss", torch.tensor(60000.0, dtype=torch.float16))
    assert statistics.pop_means()["loss"] == 60000


def test_a_name_that_was_not_declared_is_an_error() -> None:
    with pytest.raises(KeyError, match="typo"):
        EpochStatistics(["loss"]).add("typo", 1.0)
