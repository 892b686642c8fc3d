from __future__ import annotations

import pytest

from benchmarks.label_efficiency.label_savings import gap_closed, label_savings

CURVE = {4: 0.70, 16: 0.80, 64: 0.85}


@pytest.mark.parametrize(
    ("score", "labels", "needed"),
    [(0.70, 4, 4.0), (0.75, 4, 8.0), (0.75, 8, 8.0), (0.80, 4, 16.0), (0.825, 4, 32.0), (0.85, 16, 64.0)],
)
def test_labels_are_interpolated_over_their_logarithm(score: float, labels: int, needed: float) -> None:
    savings = label_savings(score, labels, CURVE)
    assert savings.labels == pytest.approx(needed)
    assert savings.factor == pytest.approx(needed / labels)
    assert savings.bound == ""


def test_beyond_the_curve_there_are_bounds_only() -> None:
    more, fewer = label_savings(0.86, 4, CURVE), label_savings(0.6, 8, CURVE)
    assert (more.labels, more.factor, more.bound) == (64, 16.0, "more than")
    assert more.describe() == "> 64 (> 16x)"
    assert (fewer.labels, fewer.factor, fewer.bound) == (4, 0.5, "at most")
    assert fewer.describe() == "<= 4 (<= 0.5x)"


def test_a_dip_of_the_curve_favours_the_reference() -> None:
    assert label_savings(0.75, 4, {4: 0.7, 8: 0.76, 16: 0.74, 32: 0.8}).labels < 8


def test_a_curve_of_one_point() -> None:
    assert label_savings(0.8, 4, {4: 0.7}).bound == "more than"
    assert label_savings(0.7, 4, {4: 0.7}).factor == 1.0


def test_gap_closed() -> None:
    assert gap_closed(0.76, 0.70, 0.85) == pytest.approx(0.4)
    assert gap_closed(0.65, 0.70, 0.80) == pytest.approx(-0.5)
    assert gap_closed(0.76, 0.70, 0.70) is None
