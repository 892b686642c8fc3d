from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.common.measuring import (
    memory_in_use,
    peak_memory,
    print_measurement,
    reset_peak_memory,
    run_measurement,
)

CPU = torch.device("cpu")
SIZE = 256 * 1024**2
TOLERANCE = 32 * 1024**2


def test_a_measurement_is_read_from_the_output_of_another_process(tmp_path: Path) -> None:
    file = tmp_path / "measurement.json"
    file.write_text('{"seconds": [1.5, 2.0]}')
    assert run_measurement("json.tool", file) == {"seconds": [1.5, 2.0]}


def test_a_failure_is_not_taken_for_a_measurement(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        run_measurement("json.tool", tmp_path / "nothing.json")


def test_what_is_printed_while_measuring_is_not_output(capsys: pytest.CaptureFixture[str]) -> None:
    def measure() -> list[int]:
        print("Please cite")
        return [1]

    print_measurement(measure)
    assert json.loads(capsys.readouterr().out) == [1]


@pytest.mark.parametrize(("of_memory", "expected"), [(True, "1048576"), (False, None)])
def test_only_where_memory_is_measured_it_is_given_back_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of_memory: bool, expected: str | None
) -> None:
    monkeypatch.delenv("MALLOC_MMAP_THRESHOLD_", raising=False)
    (tmp_path / "printing.py").write_text(
        "import json, os\nprint(json.dumps(os.environ.get('MALLOC_MMAP_THRESHOLD_')))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert run_measurement("printing", of_memory=of_memory) == expected


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
