"""Probabilities of logits."""

from __future__ import annotations

import math

import pytest
import torch

from nnunetv2_dycon.training.loss.probabilities import probabilities_of


def test_classes_share_a_probability_of_1_and_regions_do_not() -> None:
    logits = torch.tensor([math.log(3), 0.0]).view(1, 2, 1)
    assert probabilities_of(logits, regions=False).flatten().tolist() == pytest.approx([0.75, 0.25])
    assert probabilities_of(logits, regions=True).flatten().tolist() == pytest.approx([0.75, 0.5])
