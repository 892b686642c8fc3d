"""The one command that runs all benchmarks."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from benchmarks import __main__
from benchmarks.data_loading import __main__ as data_loading
from benchmarks.losses import __main__ as losses
from benchmarks.training_step import __main__ as training_step

PARSERS = {"losses": losses._parse, "training_step": training_step.parse, "data_loading": data_loading.parse}


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize(("device", "threads"), [(None, None), ("cpu", 2)])
def test_every_benchmark_understands_its_command_line(
    tmp_path: Path, quick: bool, device: str | None, threads: int | None
) -> None:
    options = argparse.Namespace(output=tmp_path, quick=quick, device=device, threads=threads)
    lines = __main__.command_lines(options)
    assert lines.keys() == PARSERS.keys()
    for name, flags in lines.items():
        parsed = PARSERS[name](flags)
        assert parsed.output == tmp_path / name
        if name != "data_loading":
            assert parsed.threads == threads
            assert device is None or parsed.device == device


def test_quick_cases_are_smaller(tmp_path: Path) -> None:
    options = argparse.Namespace(output=tmp_path, quick=True, device=None, threads=None)
    lines = __main__.command_lines(options)
    assert PARSERS["training_step"](lines["training_step"]).cases == ["tiny"]
    assert PARSERS["data_loading"](lines["data_loading"]).cases == ["tiny"]
    assert max(PARSERS["losses"](lines["losses"]).cells) < 1024


def test_benchmarks_run_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = []
    monkeypatch.setattr(__main__.subprocess, "run", lambda command, **_: commands.append(command))
    __main__.main(["--output", str(tmp_path), "--quick"])
    assert [command[1:3] for command in commands] == [["-m", f"benchmarks.{name}"] for name in PARSERS]
    assert "=== data_loading" in capsys.readouterr().out
