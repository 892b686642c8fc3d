"""Running nnU-Net's command lines as a user would."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from nnunetv2_dycon.exceptions import UserError


def print_heading(text: str) -> None:
    """Print what the commands that follow are for."""
    print(f"\n=== {text}", flush=True)


def run_nnunet_command(name: str, *arguments: str | Path, environment: Mapping[str, str]) -> None:
    """Print a command line and run it in an environment, which is the whole one; its output goes to the terminal.

    Raises:
        UserError: if the command, such as ``nnUNetv2_train``, is not installed beside the running Python or fails.
    """
    folder = Path(sys.executable).parent
    executable = shutil.which(name, path=str(folder))
    if executable is None:
        raise UserError(
            f"there is no {name} in {folder}, where nnU-Net installs its commands: install nnunetv2 into the "
            f"environment of this Python ({sys.executable})"
        )
    line = shlex.join([name, *map(str, arguments)])
    print(f"$ {line}", flush=True)
    finished = subprocess.run([executable, *map(str, arguments)], env=dict(environment), check=False)
    if finished.returncode != 0:
        raise UserError(
            f"this command ended with exit code {finished.returncode}, its output above says why:\n  {line}"
        )
