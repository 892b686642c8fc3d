"""Measure the training step of one case: ``python -m benchmarks.training_step.measure``; prints JSON."""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.common.measuring_process import print_measurement
from benchmarks.common.memory import memory_in_use, peak_memory, reset_peak_memory
from benchmarks.training_step.cases import CASES, case
from benchmarks.training_step.parts import time_parts
from benchmarks.training_step.trainers import TRAINERS, make_step, prepare

# The first makes the optimizer's state and whatever libraries set up; torch.compile needs two.
_STEPS_BEFORE = 2


def time_steps(folder: Path, device: torch.device, repeats: int) -> dict[str, list[float]]:
    """Time the steps of all trainers, which take turns so that whatever else the machine does meets all of them.

    Args:
        folder: where :func:`~benchmarks.training_step.trainers.prepare` has been.
        device: where they train.
        repeats: how many steps of each.

    Returns:
        Seconds of each step of each trainer.
    """
    steps = {name: make_step(name, folder, device)[1] for name in TRAINERS}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(_STEPS_BEFORE + repeats):
        for name, step in steps.items():
            seconds[name].append(_timed(step))
    return {name: values[_STEPS_BEFORE:] for name, values in seconds.items()}


def measure_memory(name: str, folder: Path, device: torch.device) -> dict[str, int]:
    """Measure the memory of a training: this has to be the first thing that a process does.

    Args:
        name: which trainer.
        folder: see :func:`time_steps`.
        device: where it trains.

    Returns:
        Bytes beyond those held before the trainer was made: ``built`` before its first step, ``peak`` in its steps.
    """
    # Libraries allocate on first use; that is not the trainer's.
    torch.nn.Conv3d(1, 1, 3).to(device)(torch.zeros(1, 1, 4, 4, 4, device=device)).sum().backward()
    gc.collect()
    before = memory_in_use(device)
    _, step = make_step(name, folder, device)
    built = memory_in_use(device)
    reset_peak_memory(device)
    for _ in range(_STEPS_BEFORE + 1):
        step()
    return {"built": built - before, "peak": peak_memory(device) - before}


def _timed(step: Callable[[], None]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def main(arguments: list[str] | None = None) -> None:
    """Measure what the command line says.

    Args:
        arguments: the command line, without the program's name; that of this process if None.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("quantity", choices=("prepare", "seconds", "bytes", "parts"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--case", choices=CASES)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--trainer", choices=TRAINERS)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    folder, device = options.folder, torch.device(options.device)
    measurements = {
        "prepare": lambda: prepare(folder, case(options.case, options.batch_size)),
        "seconds": lambda: time_steps(folder, device, options.repeats),
        "bytes": lambda: measure_memory(options.trainer, folder, device),
        "parts": lambda: time_parts(*make_step("nnUNetTrainerDyCON", folder, device), options.repeats),
    }
    print_measurement(measurements[options.quantity])


if __name__ == "__main__":
    main()
