"""Running nnU-Net's command lines as a user would."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.processes import Stopped


def print_heading(text: str) -> None:
    """Print what the commands that follow are for."""
    print(f"\n=== {text}", flush=True)


def command_line(name: str, *arguments: str | Path) -> list[str]:
    """The command line, as subprocess takes it, of a command that is installed beside the running Python.

    Raises:
        UserError: if the command, such as ``nnUNetv2_train``, is not there.
    """
    folder = Path(sys.executable).parent
    executable = shutil.which(name, path=str(folder))
    if executable is None:
        raise UserError(
            f"there is no {name} in {folder}, where nnU-Net installs its commands: install nnunetv2 into the "
            f"environment of this Python ({sys.executable})"
        )
    return [executable, *map(str, arguments)]


def device_option() -> str:
    """What nnU-Net's commands need on this machine to train and predict: nothing on one with a CUDA GPU."""
    import torch

    if torch.cuda.is_available():
        return ""
    return " -device mps" if torch.backends.mps.is_available() else " -device cpu"


def print_command(name: str, *arguments: str | Path) -> str:
    """Print a command line as a user would type it, and return it."""
    line = shlex.join([name, *map(str, arguments)])
    print(f"$ {line}", flush=True)
    return line


def run_nnunet_command(name: str, *arguments: str | Path, environment: Mapping[str, str]) -> None:
    """Print a command line and run it in an environment, which is the whole one; its output goes to the terminal.

    When a signal stops this process, the command gets SIGTERM and is waited for.

    Raises:
        UserError: if the command, such as ``nnUNetv2_train``, is not installed beside the running Python or fails.
    """
    executable_line = command_line(name, *arguments)
    line = print_command(name, *arguments)
    with subprocess.Popen(executable_line, env=dict(environment)) as process:
        try:
            exit_code = process.wait()
        except Stopped:
            # A training of ours saves a checkpoint before it ends, which leaving this block waits for.
            process.terminate()
            raise
        except BaseException:
            process.kill()
            raise
    if exit_code != 0:
        raise UserError(f"this command ended with exit code {exit_code}, its output above says why:\n  {line}")
