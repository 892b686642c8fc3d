"""Measuring in a process of its own, since a process keeps memory, caches and threads of what it did before."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]


def run_measurement(module: str, *arguments: object, of_memory: bool = False) -> Any:
    """Run ``python -m MODULE ARGUMENTS`` and read what it measured.

    Args:
        module: a module whose ``main`` ends in :func:`print_measurement`.
        arguments: its command line.
        of_memory: let the C library give all memory back at once that is freed. By default it keeps blocks of up to
            32 MiB for later, more or fewer by chance, and resident memory would tell that rather than what is used.

    Returns:
        What it printed, from JSON.

    Raises:
        subprocess.CalledProcessError: if it fails; its own message is on the terminal then.
    """
    environment = {"nnUNet_def_n_proc": "1", **os.environ}
    if of_memory:
        environment["MALLOC_MMAP_THRESHOLD_"] = str(1024**2)
    command = [sys.executable, "-m", module, *map(str, arguments)]
    finished = subprocess.run(command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(finished.stdout)


def print_measurement(measure: Callable[[], Any]) -> None:
    """Measure, keep what nnU-Net prints meanwhile from the output, and print the result as JSON.

    Args:
        measure: returns what JSON can hold.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        result = measure()
    print(json.dumps(result))
