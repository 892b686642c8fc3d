"""The training step of a case, measured: ``python -m benchmarks.training_step.measure``; prints JSON."""

from __future__ import annotations

import argparse
import gc
import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from benchmarks.common.measuring import memory_in_use, peak_memory, print_measurement, reset_peak_memory
from benchmarks.common.workspace import Configuration, make_trainer, write_workspace
from benchmarks.training_step.parts import time_parts
from benchmarks.training_step.report import DYCON, PLAIN
from nnunetv2_dycon.training.find_trainer import find_trainer

CASES = {
    # What nnU-Net plans for the hippocampus of the Medical Segmentation Decathlon.
    "hippocampus": Configuration((40, 56, 40), (32, 64, 128, 256)),
    "patch64": Configuration((64, 64, 64), (32, 64, 128, 256, 320)),
    # As nnU-Net plans large scans; for GPUs.
    "patch128": Configuration((128, 128, 128), (32, 64, 128, 256, 320, 320)),
    # Shows in seconds that the benchmark works.
    "tiny": Configuration((16, 16, 16), (4, 8, 8)),
}
DEFAULT_CASES = ("hippocampus", "patch64")
# From the first step on all of the method is in force, at its full weights.
SETTINGS = {"warmup_fraction": 0, "rampup_fraction": 0, "wait_for_labels": False}
TRAINERS = (PLAIN, DYCON)
_BATCHES_FILE = "batches.pt"
_SCANS = 2
# The first makes the optimizer's state and whatever libraries set up; torch.compile needs two.
_STEPS_BEFORE = 2


def case(name: str, batch_size: int | None) -> Configuration:
    """A case by its name.

    Args:
        name: a key of CASES.
        batch_size: in place of the case's own, if not None.

    Returns:
        The configuration.
    """
    configuration = CASES[name]
    return configuration if batch_size is None else replace(configuration, batch_size=batch_size)


def prepare(folder: Path, configuration: Configuration) -> None:
    """Make a workspace, and draw a labeled and an unlabeled batch from the loaders of a training on it.

    Args:
        folder: an empty folder.
        configuration: of the trainers.
    """
    # A patch fits into every scan.
    x, y, z = (size + size // 4 for size in configuration.patch_size)
    write_workspace(folder, configuration, (x, y, z), _SCANS, SETTINGS)
    trainer = make_trainer(find_trainer(DYCON), folder, torch.device("cpu"))
    trainer.on_train_start()
    batches = {"labeled": next(trainer.dataloader_train), "unlabeled": next(trainer.unlabeled_stream)}
    torch.save({name: _with_plain_case_names(batch) for name, batch in batches.items()}, folder / _BATCHES_FILE)


def make_step(name: str, folder: Path, device: torch.device) -> tuple[nnUNetTrainer, Callable[[], None]]:
    """Build a trainer as nnU-Net does, ready for its first step.

    Args:
        name: one of TRAINERS.
        folder: where :func:`prepare` has been.
        device: where it trains.

    Returns:
        The trainer, and a function that does one step.
    """
    trainer = make_trainer(find_trainer(name), folder, device)
    trainer.initialize()
    trainer.on_train_epoch_start()
    batches = torch.load(folder / _BATCHES_FILE)
    if device.type == "cuda":
        batches = _pin(batches)
    if name == DYCON:
        trainer.unlabeled_stream = itertools.repeat(batches["unlabeled"])
        trainer.class_locations.start(sorted(set(batches["unlabeled"]["keys"])))

    def step() -> None:
        trainer.train_step(batches["labeled"])
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return trainer, step


def _with_plain_case_names(batch: dict) -> dict:
    """A batch that torch.load reads by default: nnU-Net's loader has NumPy's text."""
    return {**batch, "keys": [str(name) for name in batch["keys"]]}


def _pin(item: Any) -> Any:
    """As nnU-Net's loaders do for a GPU."""
    if isinstance(item, dict):
        return {key: _pin(value) for key, value in item.items()}
    if isinstance(item, list):
        return [_pin(value) for value in item]
    return item.pin_memory() if isinstance(item, torch.Tensor) else item


def time_steps(folder: Path, device: torch.device, repeats: int) -> dict[str, list[float]]:
    """Time the steps of all trainers, which take turns so that whatever else the machine does meets all of them.

    Args:
        folder: where :func:`prepare` has been.
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
    # Libraries allocate on first use, and looking a trainer up imports others; that is not the trainer's.
    find_trainer(name)
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
        "parts": lambda: time_parts(*make_step(DYCON, folder, device), options.repeats),
    }
    print_measurement(measurements[options.quantity])


if __name__ == "__main__":
    main()
