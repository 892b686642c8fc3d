"""Comparing states of trainings."""

from __future__ import annotations

import math
from typing import Any

import torch


def assert_equal(first: Any, second: Any, place: str = "") -> None:
    """That two nested states are equal to the last bit, NaN to NaN; ``place`` says where they are not."""
    assert type(first) is type(second), place
    if isinstance(first, dict):
        assert first.keys() == second.keys(), place
        for key in first:
            assert_equal(first[key], second[key], f"{place}/{key}")
    elif isinstance(first, list | tuple):
        assert len(first) == len(second), place
        for index, (left, right) in enumerate(zip(first, second, strict=True)):
            assert_equal(left, right, f"{place}/{index}")
    elif isinstance(first, torch.Tensor):
        assert torch.equal(first, second), place
    elif not (isinstance(first, float) and math.isnan(first) and math.isnan(second)):
        assert first == second, place
