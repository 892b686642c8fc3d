"""Entropies, mutual information and expected Dice, computed by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from nnunetv2_dycon.losses.label_space import Classes, LabelSpace, Regions
from nnunetv2_dycon.uncertainty.measures import RunningSums, entropy_of, expected_dice, largest_entropy, mean_inside

LN2 = math.log(2)


def voxel(*probabilities: float) -> Tensor:
    """The probabilities of a scan of one voxel."""
    return torch.tensor(probabilities, dtype=torch.float32).view(-1, 1, 1, 1)


@pytest.mark.parametrize(
    ("labels", "probabilities", "expected"),
    [
        (Classes(), (1.0, 0.0), 0.0),
        (Classes(), (0.5, 0.5), LN2),
        (Classes(), (0.25, 0.25, 0.5), 1.5 * LN2),
        (Classes(), (0.9, 0.1), 0.325083),
        (Regions(), (1.0, 0.0), 0.0),
        (Regions(), (0.5, 1.0), LN2),
        (Regions(), (0.5, 0.1), LN2 + 0.325083),
    ],
)
def test_entropy_by_hand(labels: LabelSpace, probabilities: tuple[float, ...], expected: float) -> None:
    assert entropy_of(voxel(*probabilities), labels).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("labels", [Classes(), Regions()])
def test_no_entropy_is_above_the_largest(labels: LabelSpace) -> None:
    probabilities = torch.full((4, 1, 1, 1), 0.5 if labels.overlapping else 0.25)
    largest = largest_entropy(4, labels)
    assert largest == pytest.approx(4 * LN2 if labels.overlapping else math.log(4))
    assert entropy_of(probabilities, labels).item() == pytest.approx(largest)


def test_each_voxel_has_its_own_entropy() -> None:
    probabilities = torch.rand(3, 4, 5, 6, generator=torch.Generator().manual_seed(0)).softmax(0)
    expected = -(probabilities * probabilities.log()).sum(0)
    torch.testing.assert_close(entropy_of(probabilities, Classes()), expected)


def test_certain_members_that_disagree_have_mutual_information_alone() -> None:
    sums = RunningSums(Classes())
    sums.add(voxel(1, 0))
    sums.add(voxel(0, 1))
    result = sums.result()
    assert result.probabilities.flatten().tolist() == [0.5, 0.5]
    assert result.entropy.item() == pytest.approx(LN2)
    assert result.mutual_information is not None
    assert result.mutual_information.item() == pytest.approx(LN2)


def test_uncertain_members_that_agree_have_none() -> None:
    sums = RunningSums(Classes())
    for _ in range(3):
        sums.add(voxel(0.7, 0.3))
    result = sums.result()
    assert result.entropy.item() == pytest.approx(0.610864, abs=1e-6)
    assert result.mutual_information is not None
    assert 0 <= result.mutual_information.item() < 1e-6


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        # Mean (0.6, 0.4): 0.673012 - (0.325083 + 0.610864) / 2, with members (0.9, 0.1) and (0.3, 0.7).
        (Classes(), 0.205038),
        # As regions, the second has the same Bernoulli distributions as the first.
        (Regions(), 2 * 0.205038),
    ],
)
def test_mutual_information_by_hand(labels: LabelSpace, expected: float) -> None:
    sums = RunningSums(labels)
    sums.add(voxel(0.9, 0.1))
    sums.add(voxel(0.3, 0.7))
    information = sums.result().mutual_information
    assert information is not None
    assert information.item() == pytest.approx(expected, abs=2e-6)


def test_members_are_left_as_they_are() -> None:
    first, second = voxel(0.9, 0.1), voxel(0.3, 0.7)
    sums = RunningSums(Classes())
    sums.add(first)
    sums.add(second)
    sums.result()
    torch.testing.assert_close(first, voxel(0.9, 0.1))
    torch.testing.assert_close(second, voxel(0.3, 0.7))


def test_a_single_member_has_no_mutual_information() -> None:
    sums = RunningSums(Classes())
    sums.add(voxel(0.9, 0.1))
    assert sums.result().mutual_information is None


def test_no_member_is_an_error() -> None:
    with pytest.raises(ValueError, match="no member"):
        RunningSums(Classes()).result()


def test_expected_dice_by_hand() -> None:
    probabilities = torch.tensor([0.9, 0.8, 0.3, 0.0]).view(4, 1, 1)
    # Twice 0.9 + 0.8, by the sum of the probabilities, 2.0, and the two predicted voxels.
    assert expected_dice(probabilities, probabilities > 0.5) == pytest.approx(0.85)
    assert expected_dice(torch.ones(2, 2, 2), torch.ones(2, 2, 2, dtype=torch.bool)) == 1


def test_expected_dice_is_the_mean_dice_of_truths_drawn_from_the_probabilities() -> None:
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.rand(8, 16, 16, generator=generator)
    predicted = probabilities > 0.5
    truths = torch.rand(200, 8, 16, 16, generator=generator) < probabilities
    dice = 2 * (truths & predicted).flatten(1).sum(1) / (truths.flatten(1).sum(1) + predicted.sum())
    assert expected_dice(probabilities, predicted) == pytest.approx(dice.mean().item(), abs=0.002)


def test_what_is_not_predicted_has_no_value() -> None:
    nothing = torch.zeros(2, 2, 2, dtype=torch.bool)
    assert math.isnan(expected_dice(torch.full((2, 2, 2), 0.1), nothing))
    assert math.isnan(mean_inside(torch.ones(2, 2, 2), nothing))


def test_the_mean_is_of_the_inside() -> None:
    values = torch.tensor([1.0, 3.0, 100.0]).view(3, 1, 1)
    assert mean_inside(values, values < 50) == 2
