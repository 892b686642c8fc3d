from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.common.measuring import run_measurement
from benchmarks.training_step import __main__, measure


def test_command_writes_figures_and_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "nnUNet_n_proc_DA"):
        monkeypatch.setenv(name, "0")

    def run_here(module: str, *arguments: object, of_memory: bool) -> Any:
        """Without a process that would have to import nnU-Net, except where it is the process that is measured."""
        assert module == "benchmarks.training_step.measure"
        assert of_memory == (arguments[0] == "bytes")
        if of_memory:
            return run_measurement(module, *arguments, of_memory=of_memory)
        with contextlib.redirect_stdout(io.StringIO()) as output:
            measure.main([str(argument) for argument in arguments])
        return json.loads(output.getvalue())

    monkeypatch.setattr(__main__, "run_measurement", run_here)
    output = tmp_path / "output"
    flags = ["--cases", "tiny", "--repeats", "2", "--device", "cpu", "--threads", "1", "--batch-size", "1"]
    __main__.main(["--output", str(output), *flags])
    content = json.loads((output / "training_step.json").read_text())
    assert content["bars"] == {"seconds_ratio": 2.5, "peak_ratio": 1.25}
    assert content["machine"]["threads"] == 1
    (case,) = content["results"]
    assert all(0 < each["built"] < each["peak"] for each in case["bytes"].values())
    assert case["case"] == "tiny"
    assert [len(case["seconds"][trainer]) for trainer in ("nnUNetTrainer", "nnUNetTrainerDyCON")] == [2, 2]
    assert (output / "training_step.png").read_bytes().startswith(b"\x89PNG")
    assert "| tiny | time of a step (s)" in capsys.readouterr().out
