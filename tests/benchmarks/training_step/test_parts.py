from __future__ import annotations

import time

import pytest
import torch

from benchmarks.training_step import parts


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that only the test moves."""
    now = [0.0]
    monkeypatch.setattr(parts.time, "perf_counter", lambda: now[0])
    assert time.perf_counter() == 0
    return now


def test_nested_time_counts_for_the_inner_part_and_in_the_phase_it_is_nested_in(clock: list[float]) -> None:
    stopwatch = parts.Stopwatch(torch.device("cpu"))

    def inner() -> str:
        clock[0] += 3
        return "result"

    inner = stopwatch.watch(inner, "inner")

    def outer() -> str:
        clock[0] += 1
        inner()
        clock[0] += 1
        return inner()

    outer = stopwatch.watch(outer, "rest", phase="pass")
    assert outer() == "result"
    clock[0] += 10
    inner()
    assert stopwatch.pop() == {("pass", "rest"): 2, ("pass", "inner"): 6, ("inner", "inner"): 3}
    assert stopwatch.pop() == {}
