"""Preprocessing in other processes, as where several trainings start at once."""

from __future__ import annotations

import contextlib
import multiprocessing
import resource
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier

from nnunetv2_dycon.datasets.planned_dataset import read_planned_dataset
from nnunetv2_dycon.preprocessing import unlabeled_preprocessor
from nnunetv2_dycon.preprocessing.prepare_unlabeled_data import prepare_unlabeled_data

# A forked process has none of the threads that Blosc2 compresses with, and waits for them for ever.
_CONTEXT = multiprocessing.get_context("spawn")


def preprocess_elsewhere(number: int, *, largest_file: int | None = None, locks: bool = True) -> list[str]:
    """Preprocess dataset 501 in processes that start together.

    Args:
        number: how many processes.
        largest_file: bytes that no file can grow beyond, as on a disk that is almost full.
        locks: whether they see each other's locks.

    Returns:
        What each said, or the error that was raised there, with its class.
    """
    start, answers = _CONTEXT.Barrier(number), _CONTEXT.SimpleQueue()
    processes = [
        _CONTEXT.Process(target=_preprocess, args=(start, answers, largest_file, locks)) for _ in range(number)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    return [answers.get() for _ in processes]


def _preprocess(start: Barrier, answers: SimpleQueue, largest_file: int | None, locks: bool) -> None:
    dataset = read_planned_dataset("501", "nnUNetPlansSmall")
    configuration = dataset.configuration("3d_fullres")
    lines: list[str] = []
    if not locks:
        unlabeled_preprocessor.case_lock = lambda *_: contextlib.nullcontext(True)
    start.wait()
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    try:
        prepare_unlabeled_data(dataset.plans_manager, configuration, dataset.dataset_json, [], 1, lines.append)
    except Exception as error:  # noqa: BLE001 (the test says which one it expects)
        answers.put(f"{type(error).__name__}: {error}")
    else:
        answers.put("".join(lines))
