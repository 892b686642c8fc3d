from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from benchmarks.common.memory import memory_in_use, peak_memory, reset_peak_memory

CPU = torch.device("cpu")
SIZE = 256 * 1024**2
TOLERANCE = 32 * 1024**2


def test_memory_that_was_given_back_is_in_the_peak_and_not_in_use() -> None:
    reset_peak_memory(CPU)
    before = memory_in_use(CPU)
    array = np.ones(SIZE, dtype=np.uint8)
    held = memory_in_use(CPU)
    del array
    assert abs(peak_memory(CPU) - before - SIZE) < TOLERANCE
    assert abs(held - before - SIZE) < TOLERANCE
    if sys.platform == "linux":
        assert abs(memory_in_use(CPU) - before) < TOLERANCE


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process cannot be reset here")
def test_the_peak_counts_from_the_last_reset() -> None:
    array = np.ones(SIZE, dtype=np.uint8)
    del array
    reset_peak_memory(CPU)
    assert peak_memory(CPU) - memory_in_use(CPU) < TOLERANCE
