"""Entropy of the mean of several predictions."""

from __future__ import annotations

import math

import pytest
import torch

from nnunetv2_dycon.training.loss.predictive_entropy import predictive_entropy


def test_classes_by_hand() -> None:
    probabilities = torch.tensor([[0.25, 0.25, 0.5], [1, 0, 0], [1 / 3, 1 / 3, 1 / 3]]).T.reshape(1, 3, 3, 1)
    entropy = predictive_entropy(probabilities)
    assert entropy.shape == (1, 1, 3, 1)
    assert entropy.flatten().tolist() == pytest.approx([1.5 * math.log(2), 0, math.log(3)])


def test_each_region_by_hand() -> None:
    probabilities = torch.tensor([[0.5, 0.25], [1, 0]]).T.reshape(1, 2, 2, 1)
    entropy = predictive_entropy(probabilities, regions=True)
    assert entropy.shape == (1, 2, 2, 1)
    quarter = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert entropy.flatten().tolist() == pytest.approx([math.log(2), 0, quarter, 0])
