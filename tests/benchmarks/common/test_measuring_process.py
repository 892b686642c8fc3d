from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from benchmarks.common.measuring_process import print_measurement, run_measurement


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
