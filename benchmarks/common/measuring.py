"""Measuring time and memory in a process of its own, which has no memory, caches and threads of earlier work."""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks import REPOSITORY


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


def memory_in_use(device: torch.device) -> int:
    """Memory that is in use now.

    Args:
        device: on CUDA the allocator's count is read, elsewhere the resident memory of this process.

    Returns:
        Bytes.
    """
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return _status_bytes("VmRSS") if sys.platform == "linux" else _most_resident_bytes()


def reset_peak_memory(device: torch.device) -> None:
    """Let the peak count from now on. Outside Linux the peak of a process cannot be reset.

    Args:
        device: see :func:`memory_in_use`.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: torch.device) -> int:
    """The most memory in use at any time since the last reset.

    Args:
        device: see :func:`memory_in_use`.

    Returns:
        Bytes.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _status_bytes("VmHWM") if sys.platform == "linux" else _most_resident_bytes()


def _status_bytes(name: str) -> int:
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024


def _most_resident_bytes() -> int:
    # Bytes on macOS, kibibytes elsewhere.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
