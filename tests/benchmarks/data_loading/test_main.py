from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.data_loading import __main__, measure
from benchmarks.data_loading.report import LABELED, TWO_VIEWS


@pytest.mark.parametrize("workers", [0, 1])
def test_command_writes_figures_and_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], workers: int
) -> None:
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "nnUNet_n_proc_DA"):
        monkeypatch.setenv(name, "0")

    def run_here(module: str, *arguments: object) -> Any:
        """Without processes, each of which would import nnU-Net."""
        assert module == "benchmarks.data_loading.measure"
        with contextlib.redirect_stdout(io.StringIO()) as output:
            measure.main([str(argument) for argument in arguments])
        return json.loads(output.getvalue())

    monkeypatch.setattr(__main__, "run_measurement", run_here)
    output = tmp_path / "output"
    flags = ["--cases", "tiny", "--workers", str(workers), "--scans", "1", "--batches", "2", "--rounds", "3"]
    __main__.main(["--output", str(output), *flags])
    content = json.loads((output / "data_loading.json").read_text())
    assert content["bar"] == 0.85
    assert content["machine"]["workers"] == workers
    (case,) = content["results"]
    for loader in (LABELED, TWO_VIEWS):
        assert len(case["patches_per_second_by_round"][loader]) == 3
        assert case["patches_per_second"][loader] > 0
    assert (output / "data_loading.png").read_bytes().startswith(b"\x89PNG")
    assert "| tiny |" in capsys.readouterr().out
