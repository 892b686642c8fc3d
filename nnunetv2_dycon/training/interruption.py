"""Trainings that a signal stops in the middle of an epoch, and that go on from there."""

from __future__ import annotations

import contextlib
import glob
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.files import remove_remains
from nnunetv2_dycon.processes import (
    EXIT_CODE,
    STOP_SIGNALS,
    Stopped,
    StopSignals,
    forked_workers_end_with_this_process,
    silence_of_threads_cut_short,
)
from nnunetv2_dycon.training.checkpoints import BEST_CHECKPOINT, IN_ORDER_OF_NNUNET, LATEST_CHECKPOINT, STATE_KEY
from nnunetv2_dycon.training.distributed import is_true_anywhere, wait_for_all
from nnunetv2_dycon.training.earlier_training import EarlierTraining
from nnunetv2_dycon.training.unlabeled_stream import DeadWorkerError

_UNFINISHED = "unfinished_epoch"


class Interruption:
    """Stops a training at a signal, with a checkpoint of the epoch that is not finished, and takes such an epoch up.

    Within an epoch a signal is noted and acted on after the step; before the first epoch and in the validation after
    training it ends the process at once.

    Args:
        trainer: a semi-supervised one.
    """

    def __init__(self, trainer: nnUNetTrainer) -> None:
        self._trainer = trainer
        self._signals = StopSignals()
        self._iterations = 0
        self._outputs: list[dict[str, Any]] = []
        self._statistics: dict[str, Any] = {}
        self._resumed_outputs: list[dict[str, Any]] = []
        self._is_saving = False
        self._is_resumed = False
        self._has_outdated_latest = False
        self._earlier_training = EarlierTraining()

    # What nnU-Net's loop calls

    @contextlib.contextmanager
    def in_training(self) -> Iterator[None]:
        """Act on signals in this block, a whole training, and leave no worker process behind, however it ends."""
        trainer = self._trainer
        with StopSignals() as self._signals, forked_workers_end_with_this_process():
            try:
                for name in IN_ORDER_OF_NNUNET:
                    remove_remains(Path(trainer.output_folder) / name)
                yield
            except BaseException as error:
                if isinstance(error, Stopped):
                    error.says_how_to_go_on = True
                    if not self._signals.deferred:
                        trainer.print_to_log_file(
                            f"Stopped by {error.received.name} before the first step (exit code {EXIT_CODE}). "
                            "Start again with the same command."
                        )
                try:
                    if self._signals.deferred and _lost_worker(error):
                        self.save_unfinished_epoch()
                        trainer.print_to_log_file(f"A worker process has ended. {self._place()}")
                finally:
                    self._move_earlier_training_back()
                    self._end_workers()
                raise
            if self._signals.received is not None:
                trainer.print_to_log_file(
                    f"Stopped by {self._signals.received.name} after the last epoch (exit code {EXIT_CODE}). The "
                    "command with --c or --val validates."
                )
                self._signals.says_how_to_go_on = True

    @contextlib.contextmanager
    def in_validation(self) -> Iterator[None]:
        """Act on signals in this block, the validation after training: end at once, and leave no file half-written."""
        started = time.time()
        try:
            with StopSignals() as signals, silence_of_threads_cut_short(signals):
                yield
        except Stopped as stopped:
            self._remove_predictions(started)
            self._trainer.print_to_log_file(
                f"Stopped by {stopped.received.name} in the validation (exit code {EXIT_CODE}). The command with --c "
                "or --val validates from the start."
            )
            stopped.says_how_to_go_on = True
            raise

    def begin(self) -> None:
        """Steps follow: from now on they act on signals, and ``--c`` is to find this training's checkpoints alone."""
        self._signals.deferred = True
        trainer, kept = self._trainer, None
        if trainer.local_rank == 0 and not (self._is_resumed or trainer.disable_checkpointing):
            kept = self._earlier_training.move_aside(Path(trainer.output_folder))
        if kept is not None:
            trainer.print_to_log_file(
                f"This is a new training (no --c). Checkpoints and validation of the earlier one are now in {kept}. To "
                f"predict with it: nnUNetv2_predict -chk {kept.name}/CHECKPOINT. To go on with it instead: stop this "
                "training, remove its checkpoints, move those back, and add --c."
            )

    def start_epoch(self) -> None:
        """Have nnU-Net's loop, which asks for the number of steps after this, do the remaining ones."""
        trainer, steps = self._trainer, len(self._resumed_outputs)
        if steps > 0:
            self._iterations = trainer.num_iterations_per_epoch
            trainer.print_to_log_file(f"Going on after step {steps} of {self._iterations}")
            trainer.num_iterations_per_epoch = max(0, self._iterations - steps)
            trainer.statistics.load_state_dict(self._statistics)
        trainer.steps_in_epoch = steps
        self._outputs, self._statistics = list(self._resumed_outputs), {}

    def start_step(self) -> None:
        """Give the trainer its number of steps back, on which the progress of the training depends."""
        if self._iterations > 0:
            self._trainer.num_iterations_per_epoch, self._iterations = self._iterations, 0

    def end_step(self, output: dict[str, Any]) -> dict[str, Any]:
        """Keep what a step returns, hand it back, and leave if a signal has come."""
        self._outputs.append(output)
        self.leave_if_requested()
        return output

    def end_epoch(self, outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What the steps of the whole epoch returned, given what those of this process did."""
        self.start_step()
        self._statistics = self._trainer.statistics.state_dict()
        outputs, self._resumed_outputs = [*self._resumed_outputs, *outputs], []
        return outputs

    # Stopping

    def stop_requested(self) -> bool:
        """Whether a signal has come, to this process or, where several train together, to any of them.

        This is the one place where it is read, once in each step of training and of validation in an epoch.
        """
        return is_true_anywhere(self._signals.received is not None)

    def leave_if_requested(self) -> None:
        """If a signal has come, save the state as it is after the last step and raise :class:`Stopped`.

        Raises:
            Stopped: with exit code 75.
        """
        if not self.stop_requested():
            return
        self.save_unfinished_epoch()
        # Whoever has started several processes ends all of them when the first one has ended.
        wait_for_all()
        received = self._signals.received or STOP_SIGNALS[0]
        self._trainer.print_to_log_file(f"Stopped by {received.name} (exit code {EXIT_CODE}). {self._place()}")
        raise Stopped(received)

    def _place(self) -> str:
        """Where the training has stopped, and how to go on."""
        trainer = self._trainer
        steps = self._iterations or trainer.num_iterations_per_epoch
        place = f"after step {trainer.steps_in_epoch} (of {steps}) of epoch {trainer.current_epoch}"
        if trainer.disable_checkpointing:
            return f"This was {place}; no checkpoint was written, as asked for."
        return f"{LATEST_CHECKPOINT} is the training {place}: go on with --c."

    def save_unfinished_epoch(self) -> None:
        """Write checkpoint_latest.pth as it is after the last step."""
        self._is_saving = True
        try:
            self._trainer.save_checkpoint(str(Path(self._trainer.output_folder) / LATEST_CHECKPOINT))
        finally:
            self._is_saving = False

    def complete(self, checkpoint: dict[str, Any]) -> dict[str, Any]:
        """A checkpoint with what is done of the present epoch, if it is saved for that; otherwise unchanged.

        Args:
            checkpoint: see checkpoint_of.
        """
        if not self._is_saving:
            return checkpoint
        epoch, statistics = self._trainer.current_epoch, self._statistics or self._trainer.statistics.state_dict()
        losses = [torch.from_numpy(np.asarray(output["loss"])) for output in self._outputs]
        unfinished = {"losses": torch.stack(losses) if losses else torch.zeros(0), "statistics": statistics}
        return {
            **checkpoint,
            "current_epoch": epoch,
            "logging": {name: values[:epoch] for name, values in checkpoint["logging"].items()},
            STATE_KEY: {**checkpoint[STATE_KEY], _UNFINISHED: unfinished},
        }

    def saved(self, filename: str) -> None:
        """Remove the checkpoint_latest.pth that this training went on from, once there is a newer checkpoint_best.pth.

        What an earlier training has left stays aside from now on.

        nnU-Net's ``--c`` takes the former first, and writes it every 50 epochs.

        Args:
            filename: the checkpoint that was written.
        """
        self._earlier_training.leave_aside()
        file = Path(filename)
        if self._has_outdated_latest and file.name in (LATEST_CHECKPOINT, BEST_CHECKPOINT):
            self._has_outdated_latest = False
            if file.name == BEST_CHECKPOINT:
                file.with_name(LATEST_CHECKPOINT).unlink(missing_ok=True)

    def resume(self, state: dict[str, Any]) -> None:
        """Take up the epoch that a checkpoint left, if it left one.

        Args:
            state: see read_training_state.
        """
        self._is_resumed = True
        self._has_outdated_latest = _UNFINISHED in state
        unfinished = state.get(_UNFINISHED, {"losses": torch.zeros(0), "statistics": {}})
        self._statistics = unfinished["statistics"]
        self._resumed_outputs = [{"loss": loss.numpy()} for loss in unfinished["losses"].cpu()]
        self._trainer.steps_in_epoch = len(self._resumed_outputs)

    def _move_earlier_training_back(self) -> None:
        try:
            moved = self._earlier_training.move_back()
        except OSError as error:
            # What ended the training is what its user has to see.
            self._trainer.print_to_log_file(f"The earlier training could not be moved back: {error}")
            return
        if moved:
            self._trainer.print_to_log_file(
                f"This training had no checkpoint yet: the earlier one's {', '.join(moved)} are back in their places."
            )

    def _end_workers(self) -> None:
        trainer = self._trainer
        loaders = [trainer.dataloader_train, trainer.dataloader_val]
        loaders = [loader for loader in loaders if isinstance(loader, NonDetMultiThreadedAugmenter)]
        for loader in loaders:
            if loader.abort_event is not None:
                loader.abort_event.set()
        for loader in loaders:
            loader._finish()
        if trainer.unlabeled_stream is not None:
            trainer.unlabeled_stream.close()

    def _remove_predictions(self, since: float) -> None:
        """Remove what was written for the validation cases of this fold: the last files may not be whole."""
        trainer = self._trainer
        folders = [Path(trainer.output_folder) / "validation"]
        folders += sorted(Path(trainer.output_folder_base).glob("predicted_next_stage/*"))
        _, cases = trainer.do_split()
        for file in (file for folder in folders for case in cases for file in folder.glob(f"{glob.escape(case)}.*")):
            if file.stat().st_mtime >= since:
                file.unlink()


def _lost_worker(error: BaseException) -> bool:
    """Whether a loader found one of its worker processes dead, which it does between two steps."""
    # batchgenerators.dataloading.nondet_multi_threaded_augmenter
    return isinstance(error, DeadWorkerError) or "background workers are no longer alive" in str(error)
