"""A signal stops a training with a checkpoint from which it goes on as if nothing had been."""

from __future__ import annotations

import copy
import math
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.processes import EXIT_CODE, Stopped
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON
from nnunetv2_dycon.training.checkpoints import LATEST_CHECKPOINT, STATE_KEY
from nnunetv2_dycon.training.interruption import Interruption
from nnunetv2_dycon.training.unlabeled_stream import UnlabeledStream
from tests.training.states import assert_equal

if TYPE_CHECKING:
    from tests.conftest import Workspace

PLANS = "nnUNetPlansRamp"
NUM_EPOCHS = 3
Train = Callable[..., tuple[nnUNetTrainerDyCON, int | None]]
# Loader and number of the batch before which the signal comes, epochs and steps that are done then. Epochs have three
# steps and one of validation.
MOMENTS = {
    "in the first step": ("training", 0, 0, 1),
    "in an epoch": ("training", 4, 1, 2),
    "in the last step of an epoch": ("training", 5, 1, 3),
    "in the validation of an epoch": ("validation", 1, 1, 3),
    "in the last epoch": ("training", 7, 2, 2),
}


class FixedBatches:
    """The same batches in the same order, with the same seed of torch before each."""

    def __init__(self, batches: list, first: int, before: Callable[[int], None] = lambda _: None) -> None:
        self.batches, self.next, self.before = batches, first, before

    def __next__(self) -> dict:
        self.before(self.next)
        # The places where patches are mixed are drawn like batches.
        torch.manual_seed(self.next)
        self.next += 1
        return copy.deepcopy(self.batches[(self.next - 1) % len(self.batches)])

    def close(self) -> None:
        pass


@pytest.fixture
def train(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer], monkeypatch: pytest.MonkeyPatch) -> Train:
    """Train to the end or to a signal; batches depend on the step alone. Returns the exit code too."""
    workspace.write_settings(
        PLANS, warmup_fraction=0.2, rampup_fraction=0.5, wait_for_labels=False, copy_paste_fraction=0.5
    )
    batches: dict[str, list] = {}

    def run(
        *, resume: bool = False, signal_at: tuple[str, int] | None = None, first: dict[str, int] | None = None
    ) -> tuple[nnUNetTrainerDyCON, int | None]:
        trainer = make_trainer(nnUNetTrainerDyCON, PLANS, num_epochs=NUM_EPOCHS, seed=0)
        if resume:
            trainer.load_checkpoint(str(Path(trainer.output_folder) / LATEST_CHECKPOINT))
        first = first or {"training": 0, "validation": 0, "unlabeled": 0}
        get_dataloaders = trainer.get_dataloaders

        def send(loader: str) -> Callable[[int], None]:
            return lambda index: os.kill(os.getpid(), signal.SIGTERM) if (loader, index) == signal_at else None

        def get_fixed_dataloaders() -> tuple:
            loaders = get_dataloaders()
            if not batches:
                for name, loader in zip(first, (*loaders, trainer.unlabeled_stream), strict=True):
                    batches[name] = [next(loader) for _ in range(5)]
            trainer.unlabeled_stream = FixedBatches(batches["unlabeled"], first["unlabeled"])
            names = ("training", "validation")
            return tuple(FixedBatches(batches[name], first[name], send(name)) for name in names)

        monkeypatch.setattr(trainer, "get_dataloaders", get_fixed_dataloaders)
        try:
            trainer.run_training()
        except Stopped as stopped:
            return trainer, stopped.code
        return trainer, None

    return run


def final_checkpoint(trainer: nnUNetTrainerDyCON) -> dict:
    checkpoint = torch.load(Path(trainer.output_folder) / "checkpoint_final.pth", weights_only=False)
    del checkpoint["init_args"]
    for name in ("epoch_start_timestamps", "epoch_end_timestamps", "waiting_fraction"):
        assert len(checkpoint["logging"].pop(name)) == NUM_EPOCHS
    return checkpoint


def test_a_stopped_training_goes_on_as_if_nothing_had_been(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    trainer, _ = train()
    expected = final_checkpoint(trainer)
    assert int(expected[STATE_KEY]["teacher"]["n_averaged"]) == 3 * NUM_EPOCHS
    assert not math.isnan(expected["logging"]["uncl_loss"][-1])
    folder = Path(trainer.output_folder)
    for moment, (loader, batch, epochs, steps) in MOMENTS.items():
        for file in folder.glob("checkpoint_*"):
            file.unlink()
        _, exit_code = train(signal_at=(loader, batch))
        assert exit_code == EXIT_CODE, moment
        place = f"{LATEST_CHECKPOINT} is the training after step {steps} (of 3) of epoch {epochs}: go on with --c."
        assert place in capsys.readouterr().out, moment
        checkpoint = torch.load(folder / LATEST_CHECKPOINT, weights_only=False)
        assert checkpoint["current_epoch"] == epochs, moment
        assert len(checkpoint[STATE_KEY]["unfinished_epoch"]["losses"]) == steps, moment
        assert all(len(values) == epochs for values in checkpoint["logging"].values()), moment
        done = 3 * epochs + steps
        # The first epoch is in the warm-up, in which no unlabeled batch is drawn.
        first = {"training": done, "validation": epochs, "unlabeled": max(0, done - 2)}
        resumed, _ = train(resume=True, first=first)
        assert resumed.num_iterations_per_epoch == 3
        output = capsys.readouterr().out
        assert "logging issue" not in output
        assert ("Going on after step" in output) == (steps > 0), moment
        assert_equal(final_checkpoint(resumed), expected, moment)
        assert not (folder / LATEST_CHECKPOINT).exists()


def test_progress_is_exact_after_the_load(train: Train, make_trainer: Callable[..., nnUNetTrainer]) -> None:
    stopped, _ = train(signal_at=("training", 4))
    loaded = make_trainer(nnUNetTrainerDyCON, PLANS, num_epochs=NUM_EPOCHS)
    loaded.load_checkpoint(str(Path(stopped.output_folder) / LATEST_CHECKPOINT))
    assert loaded.progress == stopped.progress == pytest.approx(5 / 9)


def test_a_signal_in_the_last_moment_leaves_a_finished_training(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UnlabeledStream, "close", lambda _: None)
    on_train_end = nnUNetTrainer.on_train_end

    def interrupted_end(trainer: nnUNetTrainer) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        on_train_end(trainer)

    monkeypatch.setattr(nnUNetTrainer, "on_train_end", interrupted_end)
    trainer, exit_code = train()
    assert exit_code == EXIT_CODE
    assert final_checkpoint(trainer)["current_epoch"] == NUM_EPOCHS


def test_a_signal_before_the_first_step_ends_at_once(
    make_trainer: Callable[..., nnUNetTrainer], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = make_trainer(nnUNetTrainerDyCON)
    monkeypatch.setattr(trainer, "print_plans", lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Stopped) as stopped:
        trainer.run_training()
    assert stopped.value.says_how_to_go_on
    assert "Stopped by SIGTERM before the first step (exit code 75)" in capsys.readouterr().out
    assert not (Path(trainer.output_folder) / LATEST_CHECKPOINT).exists()


def test_the_validation_leaves_no_file_half_written(
    make_trainer: Callable[..., nnUNetTrainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(nnUNetTrainerDyCON, num_epochs=1)
    trainer.run_training()
    student = copy.deepcopy(trainer.network.state_dict())
    folder = Path(trainer.output_folder) / "validation"
    folder.mkdir()
    earlier, other = folder / "demo_005.nii.gz", folder / "summary.json"
    earlier.touch()
    os.utime(earlier, (0, 0))

    def validate(*_: object) -> None:
        (folder / "demo[4].nii.gz").write_bytes(b"half")
        other.touch()
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the signal should have ended this")

    monkeypatch.setattr(trainer, "do_split", lambda: ([], ["demo[4]", "demo_005"]))
    monkeypatch.setattr(nnUNetTrainer, "perform_actual_validation", validate)
    with pytest.raises(Stopped):
        trainer.perform_actual_validation()
    assert set(folder.iterdir()) == {earlier, other}
    assert_equal(trainer.network.state_dict(), student)


def test_what_a_killed_training_left_of_a_checkpoint_is_removed(make_trainer: Callable[..., nnUNetTrainer]) -> None:
    trainer = make_trainer(nnUNetTrainerDyCON, num_epochs=1)
    remains = Path(trainer.output_folder) / ".partial_checkpoint_latest.pth"
    remains.touch()
    trainer.run_training()
    assert not remains.exists()


def test_handlers_are_those_from_before_when_training_has_ended(make_trainer: Callable[..., nnUNetTrainer]) -> None:
    make_trainer(nnUNetTrainerDyCON, num_epochs=1).run_training()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


def test_the_checkpoint_that_was_gone_on_from_does_not_outlive_a_better_one(
    train: Train, make_trainer: Callable[..., nnUNetTrainer]
) -> None:
    stopped, _ = train(signal_at=("training", 4))
    latest = Path(stopped.output_folder) / LATEST_CHECKPOINT
    trainer = make_trainer(nnUNetTrainerDyCON, PLANS, num_epochs=NUM_EPOCHS)
    trainer.load_checkpoint(str(latest))
    trainer.save_checkpoint(str(latest.with_name("checkpoint_best.pth")))
    assert not latest.exists()
    trainer.save_checkpoint(str(latest))
    trainer.save_checkpoint(str(latest.with_name("checkpoint_best.pth")))
    assert latest.exists()


def test_a_checkpoint_from_the_middle_of_an_epoch_is_nnunets_too(train: Train) -> None:
    trainer, _ = train(signal_at=("training", 4))
    checkpoint = torch.load(Path(trainer.output_folder) / LATEST_CHECKPOINT, weights_only=False)
    assert_equal(checkpoint["network_weights"], dict(trainer.students.deployed_average.state_dict()))


def _stop_one_of_two(rank: int, folder: Path) -> None:
    """Leave a step; the first process takes its time to write the checkpoint, and the second has got the signal."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)

    def save_checkpoint(file: str) -> None:
        if rank == 0:
            time.sleep(0.5)
            Path(file).touch()

    interruption = Interruption(
        SimpleNamespace(  # type: ignore[arg-type]
            output_folder=folder,
            save_checkpoint=save_checkpoint,
            print_to_log_file=print,
            steps_in_epoch=1,
            num_iterations_per_epoch=3,
            current_epoch=0,
            disable_checkpointing=False,
        )
    )
    interruption._signals.received = signal.SIGTERM if rank == 1 else None
    with pytest.raises(Stopped):
        interruption.leave_if_requested()
    # Whoever has started the processes ends the others when one has ended.
    assert (folder / LATEST_CHECKPOINT).is_file()
    torch.distributed.destroy_process_group()


def test_no_process_leaves_before_the_checkpoint_is_written(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_stop_one_of_two, (tmp_path,), nprocs=2)
