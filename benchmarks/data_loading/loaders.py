"""The two loaders of a DyCON training, drawn from with as many worker processes each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from batchgenerators.dataloading.single_threaded_augmenter import SingleThreadedAugmenter
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader

from benchmarks.common.workspace import make_trainer, write_workspace
from benchmarks.data_loading.cases import Case
from benchmarks.data_loading.report import LABELED, TWO_VIEWS
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON

_CPU = torch.device("cpu")


def prepare(folder: Path, case: Case, scans: int) -> None:
    """Make a workspace with preprocessed scans.

    Args:
        folder: an empty folder.
        case: which scans, and which patches to plan for.
        scans: how many labeled and how many unlabeled scans.
    """
    write_workspace(folder, case.configuration, case.scan_shape, scans, settings={})
    make_trainer(nnUNetTrainerDyCON, folder, _CPU).on_train_start()


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
    trainer = make_trainer(nnUNetTrainerDyCON, folder, _CPU)
    trainer.on_train_start()
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
