"""Paired differences between two models."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nnunetv2_dycon.comparison.paired_difference import MEAN, PairedDifference, paired_differences
from nnunetv2_dycon.comparison.validation_results import ValidationResults


def results(**dice: dict[str, float]) -> ValidationResults:
    return ValidationResults("", ("0",), dice, {})


def test_classes_and_their_mean_over_common_cases() -> None:
    first = results(a={"x": 0.5, "y": 0.2}, b={"x": 0.6, "y": math.nan}, c={"x": 0.1, "y": 0.1})
    second = results(b={"x": 0.5, "y": 0.3}, a={"x": 0.9, "y": 0.2}, d={"x": 1.0, "y": 1.0})
    x, y, mean = paired_differences(first, second)
    assert (x.name, x.first, x.second) == ("x", {"a": 0.5, "b": 0.6}, {"a": 0.9, "b": 0.5})
    # b has no Dice of y in the first.
    assert (y.name, y.first, y.second) == ("y", {"a": 0.2}, {"a": 0.2})
    assert mean.name == MEAN
    assert mean.first == pytest.approx({"a": 0.35, "b": 0.6})
    assert mean.second == pytest.approx({"a": 0.55, "b": 0.5})
    assert (x.won, x.lost, y.won, y.lost) == (1, 1, 0, 0)
    assert x.means == pytest.approx((0.55, 0.7))
    assert x.difference == pytest.approx(0.15)
    assert list(x.differences) == ["b", "a"]


def test_the_interval_is_that_of_a_mean() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(0.03, 0.05, 200)
    first = {str(case): 0.5 for case in range(200)}
    each = PairedDifference("x", first, {case: 0.5 + value for case, value in zip(first, values, strict=True)})
    half = 1.96 * values.std(ddof=1) / math.sqrt(200)
    assert each.interval == pytest.approx((values.mean() - half, values.mean() + half), abs=0.001)
    assert each.verdict == "better"
    assert PairedDifference("x", each.second, each.first).verdict == "worse"


def test_what_cannot_be_told() -> None:
    first = {str(case): 0.5 for case in range(10)}
    second = {case: 0.4 if int(case) % 2 else 0.6 for case in first}
    assert PairedDifference("x", first, second).verdict == "cannot tell"
    some = {case: first[case] for case in list(first)[:9]}
    assert PairedDifference("x", some, dict.fromkeys(some, 0.9)).verdict == "too few cases"
    one = PairedDifference("x", {"a": 0.5}, {"a": 0.6})
    assert (one.interval, one.verdict) == (None, "too few cases")
    none = PairedDifference("x", {}, {})
    assert (none.interval, none.won, none.lost) == (None, 0, 0)
    assert math.isnan(none.difference)
