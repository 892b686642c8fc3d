from __future__ import annotations

import math
from pathlib import Path

import pytest

from nnunetv2_dycon.methods.schedules import adaptive_beta, gaussian_rampup, sigmoid_rampup
from tests.losses.released_code import released_case


def test_adaptive_beta_equals_the_released_code(shared_folder: Path) -> None:
    case = released_case(shared_folder, loss="adaptive_beta")
    values = [adaptive_beta(epoch / case["total"], case["max_beta"], case["min_beta"]) for epoch in case["epochs"]]
    assert values == pytest.approx(case["value"], rel=1e-12)


def test_sigmoid_rampup_equals_the_released_code(shared_folder: Path) -> None:
    case = released_case(shared_folder, loss="sigmoid_rampup")
    values = [sigmoid_rampup(epoch / case["total"], case["min"], case["max"]) for epoch in case["epochs"]]
    assert values == pytest.approx(case["value"], rel=1e-12)


def test_adaptive_beta_runs_from_maximum_to_minimum_and_stays_there() -> None:
    assert adaptive_beta(-0.1, 5, 0.5) == adaptive_beta(0, 5, 0.5) == 5
    assert adaptive_beta(0.5, 5, 0.5) == pytest.approx(math.sqrt(2.5))
    assert adaptive_beta(1, 5, 0.5) == adaptive_beta(1.5, 5, 0.5) == 0.5


@pytest.mark.parametrize(("beta_max", "beta_min"), [(0, 0.5), (5, 0), (-1, -1)])
def test_adaptive_beta_refuses_betas_that_are_not_positive(beta_max: float, beta_min: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        adaptive_beta(0.5, beta_max, beta_min)


def test_gaussian_rampup_rises_to_one_at_the_end_of_the_ramp() -> None:
    assert gaussian_rampup(0, 0.3) == pytest.approx(math.exp(-5))
    assert gaussian_rampup(0.15, 0.3) == pytest.approx(math.exp(-1.25))
    assert gaussian_rampup(0.3, 0.3) == gaussian_rampup(1, 0.3) == 1


def test_gaussian_rampup_without_length_is_one_from_the_start() -> None:
    assert gaussian_rampup(0, 0) == 1


def test_gaussian_rampup_refuses_a_negative_length() -> None:
    with pytest.raises(ValueError, match="length"):
        gaussian_rampup(0, -0.1)
