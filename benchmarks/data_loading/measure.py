"""The loaders of a case, measured: ``python -m benchmarks.data_loading.measure``; prints JSON."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from batchgenerators.dataloading.single_threaded_augmenter import SingleThreadedAugmenter
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from benchmarks.common.measuring import print_measurement
from benchmarks.common.workspace import Configuration, make_trainer, write_workspace
from benchmarks.data_loading.report import LABELED, TWO_VIEWS
from nnunetv2_dycon.training.find_trainer import find_trainer

# The network does nothing here.
_FEATURES = (4, 4, 4, 4)


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        configuration: patch, batch size and channels.
        scan_shape: typical size of a scan, in voxels.
    """

    configuration: Configuration
    scan_shape: tuple[int, int, int]


CASES = {
    # As nnU-Net plans for the hippocampus of the Medical Segmentation Decathlon.
    "hippocampus": Case(Configuration((40, 56, 40), _FEATURES), (40, 52, 38)),
    # As for CT of the abdomen.
    "one-channel": Case(Configuration((128, 128, 128), _FEATURES), (160, 192, 160)),
    # As for MRI of the brain in four sequences.
    "four-channels": Case(Configuration((128, 128, 128), _FEATURES, channels=4), (160, 192, 160)),
    # Shows in seconds that the benchmark works.
    "tiny": Case(Configuration((16, 16, 16), _FEATURES[:3]), (20, 24, 20)),
}
DEFAULT_CASES = ("hippocampus", "one-channel", "four-channels")


def prepare(folder: Path, case: Case, scans: int) -> None:
    """Make a workspace with preprocessed scans.

    Args:
        folder: an empty folder.
        case: which scans, and which patches to plan for.
        scans: how many labeled and how many unlabeled scans.
    """
    write_workspace(folder, case.configuration, case.scan_shape, scans, settings={})
    _start_training(folder)


def patches_per_second(folder: Path, workers: int, batches: int, rounds: int) -> dict[str, list[float]]:
    """Draw from the loaders as fast as they give, in turns.

    The worker processes live through all rounds. What a loader has made in advance during the other's turn is drawn
    before its time starts. A first round does not count: nnU-Net's blur tries out in it which convolution is faster.

    Args:
        folder: where :func:`prepare` has been.
        workers: processes of each loader; 0 draws in this process.
        batches: how many of each loader in a round.
        rounds: how many rounds count.

    Returns:
        Patches a second of each loader in each round; an unlabeled patch with both its views is one.
    """
    trainer = _start_training(folder)
    loaders = {
        LABELED: trainer.dataloader_train.data_loader,
        TWO_VIEWS: trainer.unlabeled_stream._augmenter.data_loader,
    }
    rates: dict[str, list[float]] = {name: [] for name in loaders}
    with _draw_from(loaders[LABELED], workers) as labeled, _draw_from(loaders[TWO_VIEWS], workers) as two_views:
        for _ in range(1 + rounds):
            for name, draw in ((LABELED, labeled), (TWO_VIEWS, two_views)):
                rates[name].append(_rate(draw, workers, batches) * trainer.batch_size)
    return {name: values[1:] for name, values in rates.items()}


def _start_training(folder: Path) -> nnUNetTrainer:
    trainer = make_trainer(find_trainer("nnUNetTrainerDyCON"), folder, torch.device("cpu"))
    trainer.on_train_start()
    return trainer


def _rate(draw: Callable[[], object], workers: int, batches: int) -> float:
    """Batches a second."""
    # Each worker, the queues between and the thread that empties them hold some; see _draw_from.
    for _ in range(3 * workers + 2 if workers else 0):
        draw()
    start = time.perf_counter()
    for _ in range(batches):
        draw()
    return batches / (time.perf_counter() - start)


@contextmanager
def _draw_from(loader: nnUNetDataLoader, workers: int) -> Iterator[Callable[[], object]]:
    """A function that draws a batch, made as nnUNetTrainer.get_dataloaders makes its streams but with short queues."""
    if workers == 0:
        augmenter = SingleThreadedAugmenter(loader, None)
        yield lambda: next(augmenter)
        return
    augmenter = NonDetMultiThreadedAugmenter(loader, None, workers, num_cached=workers, wait_time=0.002)
    try:
        yield lambda: next(augmenter)
    finally:
        augmenter._finish()


def main(arguments: list[str] | None = None) -> None:
    """Measure what the command line says.

    Args:
        arguments: the command line, without the program's name; that of this process if None.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("quantity", choices=("prepare", "patches_per_second"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--case", choices=CASES)
    parser.add_argument("--scans", type=int)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--batches", type=int)
    parser.add_argument("--rounds", type=int)
    options = parser.parse_args(arguments)
    measurements = {
        "prepare": lambda: prepare(options.folder, CASES[options.case], options.scans),
        "patches_per_second": lambda: patches_per_second(
            options.folder, options.workers, options.batches, options.rounds
        ),
    }
    print_measurement(measurements[options.quantity])


if __name__ == "__main__":
    main()
