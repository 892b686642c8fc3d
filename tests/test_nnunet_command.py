from __future__ import annotations

import os

import pytest

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.nnunet_command import run_nnunet_command
from nnunetv2_dycon.processes import Stopped, StopSignals

# What a training does, which asks its parent to stop.
TRAINING = """
import os, signal, time

def save(*_):
    print("saved", flush=True)
    os._exit(75)

signal.signal(signal.SIGTERM, save)
os.kill(os.getppid(), signal.SIGUSR1)
time.sleep(60)
"""


def test_prints_and_runs_the_command(capfd: pytest.CaptureFixture[str]) -> None:
    run_nnunet_command("python", "-c", "import os; print(os.environ['DEMO'])", environment={**os.environ, "DEMO": "on"})
    output = capfd.readouterr().out
    assert output.startswith("$ python -c 'import os;")
    assert output.endswith("\non\n")


def test_failure_names_the_command() -> None:
    with pytest.raises(UserError, match=r"exit code 3.*\n  python -c 'exit\(3\)'"):
        run_nnunet_command("python", "-c", "exit(3)", environment=os.environ)


def test_missing_command_says_what_to_install() -> None:
    with pytest.raises(UserError, match=r"no nnUNetv2_fly in .* install nnunetv2"):
        run_nnunet_command("nnUNetv2_fly", environment=os.environ)


def test_a_signal_is_passed_on_and_what_it_makes_the_command_do_is_waited_for(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(Stopped), StopSignals():
        run_nnunet_command("python", "-c", TRAINING, environment=os.environ)
    assert capfd.readouterr().out.endswith("\nsaved\n")
