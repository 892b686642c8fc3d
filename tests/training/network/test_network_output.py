"""Outputs with and without deep supervision."""

from __future__ import annotations

import pytest
import torch

from nnunetv2_dycon.training.network.network_output import NetworkOutput, full_resolution

LOGITS = torch.zeros(1, 2, 4, 4)


@pytest.mark.parametrize("output", [LOGITS, [LOGITS, torch.zeros(1, 2, 2, 2)], (LOGITS,)])
def test_logits_are_those_at_full_resolution(output: torch.Tensor | list[torch.Tensor]) -> None:
    assert full_resolution(output) is LOGITS
    assert NetworkOutput(output, None).logits is LOGITS
