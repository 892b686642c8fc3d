"""Where the time of a DyCON step goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from statistics import median
from unittest.mock import patch

import torch

from nnunetv2_dycon.losses import uncl
from nnunetv2_dycon.methods import dycon as dycon_module
from nnunetv2_dycon.training.trainer import nnUNetTrainerSemiSupervised

UNLABELED, LABELED = "unlabeled pass", "labeled pass"
_CELLS = "cell labels and entropy"
_LOSSES = {
    "uncl_terms": "UnCL forward",
    "uncl_of_pseudo_labels": "UnCL forward",
    "fecl_loss": "FeCL",
    "cell_labels_from_target": _CELLS,
    "cell_labels_from_probabilities": _CELLS,
    "mean_over_cells": _CELLS,
}


class Stopwatch:
    """Times functions while they are called by others; what is nested counts for the inner one only.

    Args:
        device: waited for before each reading.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._open: list[tuple[str, str]] = []
        self._last = 0.0
        self._seconds: dict[tuple[str, str], float] = {}

    def watch(self, function: Callable, part: str, phase: str | None = None) -> Callable:
        """Wrap a function.

        Args:
            function: what is to be timed.
            part: name of its time.
            phase: what it and all that is nested in it belong to; None for what it is nested in.

        Returns:
            The function to be called in its place.
        """

        def timed(*args: object, **kwargs: object) -> object:
            self._read()
            outer = self._open[-1][0] if self._open else part
            self._open.append((phase or outer, part))
            try:
                return function(*args, **kwargs)
            finally:
                self._read()
                self._open.pop()

        return timed

    def pop(self) -> dict[tuple[str, str], float]:
        """Seconds of each (phase, part) since the last call."""
        seconds, self._seconds = self._seconds, {}
        return seconds

    def _read(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        if self._open:
            self._seconds[self._open[-1]] = self._seconds.get(self._open[-1], 0) + now - self._last
        self._last = now


def time_parts(
    trainer: nnUNetTrainerSemiSupervised, step: Callable[[], None], repeats: int
) -> list[tuple[str, str, float]]:
    """Time the parts of a trainer's step.

    Args:
        trainer: a trainer.
        step: does one step of it.
        repeats: how many steps, after one that does not count.

    Returns:
        Phase, part and the median of its seconds, in the order in which they are first done.
    """
    stopwatch = Stopwatch(trainer.device)
    training_step, students = trainer.step, trainer.students
    (student,) = students
    watched = [
        *((dycon_module, name, part, None) for name, part in _LOSSES.items()),
        (training_step, "_pass_unlabeled", "rest", UNLABELED),
        (training_step, "_pass_labeled", "rest", LABELED),
        (students.teacher.network, "forward", "teacher forward", None),
        (student.network, "forward", "student forward", None),
        (trainer, "loss", "supervised loss", None),
        (trainer.method, "unlabeled_losses", "pseudo-labels and statistics", None),
        (training_step, "_backward", "backward", None),
        (training_step, "_update_weights", "optimizer", None),
        (students.average, "update_parameters", "teacher's average", None),
        *(
            (asked.head, "forward", "projection head", None)
            for asked in (student, students.teacher)
            if asked.head is not None
        ),
    ]
    with ExitStack() as patches:
        for owner, name, part, phase in watched:
            patches.enter_context(patch.object(owner, name, stopwatch.watch(getattr(owner, name), part, phase)))
        backward = staticmethod(stopwatch.watch(uncl._UnCL.backward, "UnCL backward"))
        patches.enter_context(patch.object(uncl._UnCL, "backward", backward))
        step()
        stopwatch.pop()
        steps = []
        for _ in range(repeats):
            step()
            steps.append(stopwatch.pop())
    return [(*key, median(each[key] for each in steps)) for key in steps[0]]
