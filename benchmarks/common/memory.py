"""How much memory a computation takes."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch


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
