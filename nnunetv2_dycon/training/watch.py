"""Watching a training: what its verdicts need is measured here, and they are written into its log."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.methods.method import full_resolution
from nnunetv2_dycon.training.curves import Curves
from nnunetv2_dycon.training.distributed import gathered, mean_over_processes
from nnunetv2_dycon.training.step import StepResult
from nnunetv2_dycon.training.verdicts import first_verdicts, verdicts_of
from nnunetv2_dycon.views.locations import every_second_voxel

WATCHED_IN_STEPS = ("weak_view_entropy", "weak_view_foreground_fraction", "labeled_foreground_fraction")
# Logged, but not drawn in progress.png. The last one is the share of the time that is spent waiting for the stream.
WATCHED = (*WATCHED_IN_STEPS, "waiting_fraction")


class Watch:
    """Measures what the verdicts need beyond what a training logs anyway, and gives each verdict once.

    Args:
        trainer: a semi-supervised one.
    """

    def __init__(self, trainer: nnUNetTrainer) -> None:
        self._trainer = trainer
        self._given: set[str] | None = None
        self._started = 0.0
        self._waited = 0.0

    def start_epoch(self) -> None:
        """Start the clock, before the first step of an epoch."""
        self._started, self._waited = time.perf_counter(), 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """In this block, the training waits for the unlabeled stream."""
        started = time.perf_counter()
        yield
        self._waited += time.perf_counter() - started

    def see(self, batch: Mapping[str, Any], unlabeled: Mapping[str, Any], step: StepResult) -> None:
        """Add what a step shows to the statistics of the epoch.

        Foreground is that of patches which were drawn uniformly, so that labeled and unlabeled ones compare.

        Args:
            batch: labeled, of nnU-Net's loader.
            unlabeled: of nnUNetTwoViewDataLoader.
            step: what the step on both yielded.
        """
        trainer, statistics = self._trainer, self._trainer.statistics
        statistics.add("weak_view_entropy", step.weak_view_entropy)
        fractions = step.weak_view_foreground
        uniform = unlabeled.get("uniform", torch.ones(len(fractions), dtype=torch.bool))
        if count := int(uniform.sum()):
            drawn = uniform.to(fractions.device, non_blocking=True)
            statistics.add("weak_view_foreground_fraction", (fractions * drawn).sum() / count)
        # nnU-Net draws the first patches of a batch uniformly, unless chance decides; annotated voxels never are.
        count = round(trainer.batch_size * (1 - trainer.oversample_foreground_percent))
        if count > 0 and not trainer.probabilistic_oversampling and not trainer.label_manager.has_ignore_label:
            target = every_second_voxel(full_resolution(batch["target"])[:count])
            statistics.add("labeled_foreground_fraction", float((target > 0).any(1).float().mean()))

    def end_epoch(self, means: dict[str, float]) -> dict[str, float]:
        """What is logged of an epoch, after its last step: means over the processes, the same in all of them.

        Args:
            means: what the steps of this process have given.

        Returns:
            These, and the rest of :data:`WATCHED`; NaN for none.
        """
        watched = {name: means[name] for name in WATCHED_IN_STEPS}
        watched["waiting_fraction"] = self._waited / (time.perf_counter() - self._started)
        everywhere = gathered(watched)
        # A process may have no patch that was drawn uniformly.
        known = {name: _mean_of_known(there[name] for there in everywhere) for name in WATCHED_IN_STEPS}
        # All wait for the one that waits longest.
        longest = max(there["waiting_fraction"] for there in everywhere)
        return {**mean_over_processes(means), **known, "waiting_fraction": longest}

    def write_verdicts(self) -> None:
        """Write into the log what is to be said after this epoch and was not before; in the first process."""
        if self._trainer.local_rank != 0:
            return
        curves = self.curves()
        if self._given is None:
            # Of a training that goes on, what it was told before.
            self._given = {verdict.name for _, verdict in first_verdicts(curves.until(curves.epochs - 1))}
        for verdict in verdicts_of(curves):
            if verdict.name not in self._given:
                self._given.add(verdict.name)
                self._trainer.print_to_log_file(f"Is it working? {verdict.text}")

    def curves(self) -> Curves:
        """What the training has logged up to now."""
        trainer = self._trainer
        return Curves(
            trainer.logger.get_checkpoint(),
            trainer.num_epochs,
            trainer.settings.warmup_fraction,
            trainer.settings.rampup_fraction,
            trainer.method.term_weights(),
            trainer.method.least_supervised_loss,
        )


def _mean_of_known(values: Iterator[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
