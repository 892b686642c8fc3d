from __future__ import annotations

import numpy as np
import pytest

from benchmarks.label_efficiency.bootstrap import paired_bootstrap

NAN = float("nan")


@pytest.mark.parametrize("differences", [[[0.25] * 7], [[0.25] * 7] * 3])
def test_interval_of_a_constant_is_a_point(differences: list) -> None:
    result = paired_bootstrap(np.array(differences))
    assert (result.mean, result.low, result.high) == (0.25, 0.25, 0.25)


@pytest.mark.parametrize("differences", [[[0.0, 1.0]], [[0.0], [1.0]]])
def test_cases_and_seeds_are_resampled(differences: list) -> None:
    # The mean of two draws is 0 and 1 with probability 1/4 each, well above the 2.5 % at either end.
    result = paired_bootstrap(np.array(differences))
    assert (result.mean, result.low, result.high) == (0.5, 0.0, 1.0)


def test_cases_are_drawn_once_for_all_seeds() -> None:
    # Equal in all seeds: as uncertain as one seed, where cases drawn for each seed would give an interval half as wide.
    one = np.random.default_rng(1).normal(size=(1, 40))
    alone, repeated = paired_bootstrap(one), paired_bootstrap(np.repeat(one, 4, axis=0))
    assert repeated.high - repeated.low == pytest.approx(alone.high - alone.low, rel=0.05)


def test_interval_is_that_of_the_normal_distribution_for_many_cases() -> None:
    values = np.random.default_rng(2).normal(0.3, 2.0, size=(1, 400))
    result = paired_bootstrap(values)
    half = 1.96 * values.std() / np.sqrt(400)
    assert result.mean == pytest.approx(values.mean())
    assert result.low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert result.high == pytest.approx(values.mean() + half, abs=0.15 * half)


def test_equals_drawing_one_after_the_other() -> None:
    differences = np.array([[0.1, 0.4, NAN, -0.2], [0.3, 0.0, 0.2, NAN]])
    generator = np.random.default_rng(7)
    runs = generator.multinomial(2, [0.5, 0.5], size=50)
    cases = generator.multinomial(4, [0.25] * 4, size=50)
    means = []
    for of_runs, of_cases in zip(runs, cases, strict=True):
        drawn = differences[np.repeat(np.arange(2), of_runs)][:, np.repeat(np.arange(4), of_cases)]
        if not np.isnan(drawn).all():
            means.append(np.nanmean(drawn))
    result = paired_bootstrap(differences, resamples=50, seed=7)
    assert [result.low, result.high] == pytest.approx(np.percentile(means, [2.5, 97.5]).tolist())
    assert result.mean == pytest.approx(0.8 / 6)


def test_same_values_give_the_same_interval() -> None:
    values = np.random.default_rng(3).normal(size=(3, 20))
    assert paired_bootstrap(values) == paired_bootstrap(values)


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(ValueError, match="no difference"):
        paired_bootstrap(np.full((2, 3), NAN))
