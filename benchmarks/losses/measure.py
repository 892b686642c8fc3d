"""Measure one case in a process of its own: ``python -m benchmarks.losses.measure``; prints JSON.

A process of its own, because the peak memory of a process says nothing of its second measurement.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.losses.cases import Case


def peak_bytes(case: Case, implementation: str, device: torch.device) -> int:
    """Memory that one forward and backward pass takes beyond the inputs, the gradient included.

    On CUDA this is the allocator's count, on the CPU the growth of the process's resident memory at its peak.

    Args:
        case: the inputs.
        implementation: one of the case's implementations.
        device: where to compute.

    Returns:
        Bytes.
    """
    # Libraries allocate on first use; that is not the implementation's.
    Case(case.loss, 16).steps(device)[implementation]()
    step = case.steps(device)[implementation]
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        return torch.cuda.max_memory_allocated(device) - before
    before = _reset_peak_resident_bytes()
    step()
    return max(0, _peak_resident_bytes() - before)


def seconds(case: Case, repeats: int, device: torch.device, with_reference: bool) -> dict[str, float]:
    """Time of one forward and backward pass, the shortest of several.

    The implementations take turns, so that whatever else the machine does meets all of them.

    Args:
        case: the inputs.
        repeats: how often each runs after one run that does not count; 0 lets that one count.
        device: where to compute.
        with_reference: measure the reference too.

    Returns:
        Seconds of each implementation.
    """
    steps = case.steps(device)
    names = case.implementations if with_reference else case.implementations[1:]
    times = {name: [_timed(steps[name], device)] for name in names}
    for _ in range(repeats):
        for name in names:
            times[name].append(_timed(steps[name], device))
    return {name: min(values[1:] or values) for name, values in times.items()}


def _timed(step: Callable[[], None], device: torch.device) -> float:
    start = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def _reset_peak_resident_bytes() -> int:
    """Resident memory now, from which the peak counts (Linux), or the peak so far (elsewhere)."""
    if sys.platform != "linux":
        return _peak_resident_bytes()
    Path("/proc/self/clear_refs").write_text("5")
    return _peak_resident_bytes()


def _peak_resident_bytes() -> int:
    if sys.platform == "linux":
        (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("quantity", choices=("peak_bytes", "seconds"))
    parser.add_argument("loss")
    parser.add_argument("size", type=int)
    parser.add_argument("--implementation")
    parser.add_argument("--device", required=True)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--without-reference", action="store_true")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    case, device = Case(arguments.loss, arguments.size), torch.device(arguments.device)
    if arguments.quantity == "peak_bytes":
        print(json.dumps(peak_bytes(case, arguments.implementation, device)))
    else:
        print(json.dumps(seconds(case, arguments.repeats, device, not arguments.without_reference)))


if __name__ == "__main__":
    main()
