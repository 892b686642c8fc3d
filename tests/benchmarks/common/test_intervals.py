"""Intervals of differences of means."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks.common.intervals import Difference, difference_of_trainings, mean_where_defined, unpaired_interval

NAN = float("nan")


def test_by_hand() -> None:
    # Means of trainings 0.5 and 0.7, of cases 0.5 and 0.7; the other method's one training has 0.1 and 0.3.
    found = difference_of_trainings(np.array([[0.4, 0.6], [0.6, 0.8]]), np.array([[0.1, 0.3]]))
    # Of trainings 0.02 / 2. The difference of either case is 0.4, so cases add nothing: one degree of freedom.
    assert found is not None
    assert found.mean == pytest.approx(0.4)
    assert found.high == pytest.approx(0.4 + 12.7062 * 0.1, abs=1e-4)
    assert found.low == pytest.approx(0.4 - 12.7062 * 0.1, abs=1e-4)


def test_one_case_and_many_trainings_is_welchs_interval() -> None:
    generator = np.random.default_rng(1)
    first, second = generator.normal(0.8, 0.01, (6, 1)), generator.normal(0.7, 0.05, (3, 1))
    # A second case with the same scores: cases do not differ, and an interval needs two.
    found = difference_of_trainings(np.repeat(first, 2, axis=1), np.repeat(second, 2, axis=1))
    expected = stats.ttest_ind(first[:, 0], second[:, 0], equal_var=False).confidence_interval()
    assert found is not None
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_unpaired_interval_is_welchs() -> None:
    generator = np.random.default_rng(3)
    first, second = generator.normal(0.8, 0.01, 4).tolist(), generator.normal(0.7, 0.05, 3).tolist()
    expected = stats.ttest_ind(first, second, equal_var=False).confidence_interval()
    assert unpaired_interval(first, second) == pytest.approx((expected.low, expected.high))


def test_one_training_of_each_is_the_interval_over_cases() -> None:
    generator = np.random.default_rng(2)
    first, second = generator.normal(size=(1, 30)), generator.normal(size=(1, 30))
    found = difference_of_trainings(first, second)
    expected = stats.ttest_rel(first[0], second[0]).confidence_interval()
    assert found is not None
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_it_covers_the_true_difference_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(3)
    covered = 0
    for _ in range(400):
        cases = generator.normal(0, 0.1, 20)
        scores = [
            mean + generator.normal(0, 0.02, (3, 1)) + cases + generator.normal(0, 0.03, 20) + noise
            for mean, noise in ((0.7, generator.normal(0, 0.02, (3, 20))), (0.6, generator.normal(0, 0.02, (3, 20))))
        ]
        found = difference_of_trainings(scores[0], scores[1])
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.1 <= found.high
    assert 0.93 <= covered / 400 <= 0.995


def test_scores_that_are_not_defined_are_left_out() -> None:
    means = mean_where_defined(np.array([[1.0, NAN], [NAN, NAN]]), axis=1)
    assert means.tolist() == pytest.approx([1.0, NAN], nan_ok=True)
    first, second = np.array([[0.5, NAN, 0.75, 0.0], [0.5, 0.0, 0.75, 0.0]]), np.array([[0.25, 0.9, 0.5, NAN]])
    # Of the first and the third case, which all trainings have.
    assert difference_of_trainings(first, second) == Difference(0.25, 0.25, 0.25)
    assert difference_of_trainings(np.array([[0.5, NAN]]), np.array([[NAN, 0.5]])) is None


def test_one_case_has_no_interval() -> None:
    found = difference_of_trainings(np.array([[0.5], [0.6]]), np.array([[0.25]]))
    assert found == Difference(pytest.approx(0.3), None, None)
    assert found.describe() == "+0.3000"
    assert Difference(0.25, 0.0, 0.5).describe() == "+0.2500 [+0.0000, +0.5000]"
