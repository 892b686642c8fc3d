"""Commands of the tests end as installed commands do."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from nnunetv2_dycon import __version__
from tests.command_server import _Server, run_command


def test_a_command_ends_as_in_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    executable = Path(sys.executable).with_name("nnunetv2_dycon")
    for arguments in (["--version"], ["bogus"], ["doctor", "-f", "0"]):
        finished = subprocess.run(
            [executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        assert run_command("nnunetv2_dycon", arguments, os.environ) == (finished.returncode, finished.stdout)


def test_after_an_interruption_no_answer_is_taken_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> bytes:
        raise TimeoutError

    monkeypatch.setattr(socket.socket, "recv", interrupt)
    with pytest.raises(TimeoutError):
        run_command("nnunetv2_dycon", ["bogus"], os.environ)
    monkeypatch.undo()
    exit_code, output = run_command("nnunetv2_dycon", ["--version"], os.environ)
    assert exit_code == 0
    assert __version__ in output


def test_the_start_up_file_is_read_with_the_variables_of_the_command() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "nnUNet_extTrainer"}
    _, output = run_command("nnunetv2_dycon", ["doctor"], environment)
    assert "[ok] nnU-Net finds nnUNetTrainerDyCON" in output


def test_a_server_that_is_gone_is_replaced() -> None:
    server = _Server.running()
    server._process.kill()
    server._process.wait()
    assert run_command("nnunetv2_dycon", ["--version"], os.environ)[0] == 0


def test_variables_that_python_reads_at_its_start_are_refused() -> None:
    with pytest.raises(AssertionError, match="PYTHONHASHSEED would not be read anew"):
        run_command("nnunetv2_dycon", ["--version"], {**os.environ, "PYTHONHASHSEED": "7"})
