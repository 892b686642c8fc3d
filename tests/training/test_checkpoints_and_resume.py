"""Exact resume, and checkpoints that nnU-Net can use."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON
from nnunetv2_dycon.training.checkpoints import STATE_KEY
from tests.training.states import assert_equal

if TYPE_CHECKING:
    from tests.conftest import Workspace

Train = Callable[..., nnUNetTrainerDyCON]
SETTINGS = {"warmup_fraction": 0.2, "rampup_fraction": 0.5, "wait_for_labels": False, "copy_paste_fraction": 0.5}


def _state(trainer: nnUNetTrainerDyCON) -> dict:
    """Everything that must survive a resume."""
    return copy.deepcopy(
        {
            "student": trainer.network.state_dict(),
            "auxiliary": trainer.students.auxiliary.state_dict(),
            "teacher": trainer.students.average.state_dict(),
            "optimizer": trainer.optimizer.state_dict(),
            "epoch": trainer.current_epoch,
            "best": trainer._best_ema,
            "progress": trainer.progress,
            "ramp": trainer.ramp,
            "beta": trainer.method.beta(trainer.progress),
        }
    )


class _FixedBatches:
    """Gives each step of each epoch its own batch, whatever happened before."""

    def __init__(self, batches: list, trainer: nnUNetTrainer) -> None:
        self.batches, self.trainer, self.epoch, self.step = batches, trainer, -1, 0

    def __next__(self) -> dict:
        if self.epoch != self.trainer.current_epoch:
            self.epoch, self.step = self.trainer.current_epoch, 0
        self.step += 1
        batch = self.batches[(3 * self.epoch + self.step - 1) % len(self.batches)]
        return copy.deepcopy(batch)

    def close(self) -> None:
        pass


@pytest.fixture
def train(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer], monkeypatch: pytest.MonkeyPatch) -> Train:
    """Train some of four epochs on batches that depend on the step alone."""
    workspace.write_settings("nnUNetPlansRamp", **SETTINGS)
    batches: dict[str, list] = {}

    def run(until_epoch: int, checkpoint: str | None = None) -> nnUNetTrainerDyCON:
        trainer = make_trainer(nnUNetTrainerDyCON, "nnUNetPlansRamp", num_epochs=4, seed=0)
        trainer.save_every = 1
        if checkpoint is not None:
            trainer.load_checkpoint(str(Path(trainer.output_folder) / checkpoint))
        get_dataloaders = trainer.get_dataloaders

        def get_fixed_dataloaders() -> tuple:
            loaders = get_dataloaders()
            if not batches:
                batches["labeled"] = [next(loaders[0]) for _ in range(5)]
                batches["validation"] = [next(loaders[1]) for _ in range(5)]
                batches["unlabeled"] = [next(trainer.unlabeled_stream) for _ in range(5)]
            trainer.unlabeled_stream = _FixedBatches(batches["unlabeled"], trainer)
            return _FixedBatches(batches["labeled"], trainer), _FixedBatches(batches["validation"], trainer)

        monkeypatch.setattr(trainer, "get_dataloaders", get_fixed_dataloaders)
        on_train_epoch_start = trainer.on_train_epoch_start

        def fix_boxes() -> None:
            # The places where patches are mixed are drawn like batches.
            torch.manual_seed(trainer.current_epoch)
            on_train_epoch_start()

        monkeypatch.setattr(trainer, "on_train_epoch_start", fix_boxes)
        if until_epoch < trainer.num_epochs:

            def stop_there() -> None:
                if trainer.current_epoch == until_epoch:
                    raise KeyboardInterrupt

            on_epoch_start = trainer.on_epoch_start
            monkeypatch.setattr(trainer, "on_epoch_start", lambda: (stop_there(), on_epoch_start()))
            with pytest.raises(KeyboardInterrupt):
                trainer.run_training()
        else:
            trainer.run_training()
        return trainer

    return run


def test_resumed_training_equals_training_in_one_go(train: Train) -> None:
    expected = _state(train(until_epoch=4))
    train(until_epoch=2)
    resumed = train(until_epoch=4, checkpoint="checkpoint_latest.pth")
    assert_equal(_state(resumed), expected)


def test_state_is_equal_right_after_the_load(train: Train, make_trainer: Callable[..., nnUNetTrainer]) -> None:
    before = train(until_epoch=2)
    after = make_trainer(nnUNetTrainerDyCON, "nnUNetPlansRamp", num_epochs=4, seed=7)
    after.load_checkpoint(str(Path(before.output_folder) / "checkpoint_latest.pth"))
    before.steps_in_epoch = 0
    expected, loaded = _state(before), _state(after)
    # nnU-Net writes checkpoint_latest before it updates this.
    del expected["best"], loaded["best"]
    assert_equal(loaded, expected)
    assert 0 < after.ramp < 1


@pytest.mark.parametrize("deployed", ["teacher", "student"])
def test_network_weights_are_the_deployed_ones_and_fit_the_stock_network(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer], deployed: str
) -> None:
    workspace.write_settings("nnUNetPlansDeploy", deployed_network=deployed, warmup_fraction=0, wait_for_labels=False)
    trainer = make_trainer(nnUNetTrainerDyCON, "nnUNetPlansDeploy", num_epochs=1)
    trainer.run_training()
    checkpoint = torch.load(Path(trainer.output_folder) / "checkpoint_final.pth", weights_only=False)
    teacher, student = trainer.students.average.module["network"].state_dict(), trainer.network.state_dict()
    assert any(not torch.equal(teacher[name], student[name]) for name in student)
    expected = {"teacher": teacher, "student": student}[deployed]
    stock = make_trainer(nnUNetTrainer)
    stock.initialize()
    stock.network.load_state_dict(checkpoint["network_weights"])
    assert_equal(stock.network.state_dict(), expected)
    assert_equal(checkpoint[STATE_KEY]["student"], student)


def test_validation_predicts_with_the_deployed_weights_and_gives_the_student_back(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.write_settings("nnUNetPlansTeacher", deployed_network="teacher", warmup_fraction=0, wait_for_labels=False)
    trainer = make_trainer(nnUNetTrainerDyCON, "nnUNetPlansTeacher", num_epochs=1)
    trainer.run_training()
    student = copy.deepcopy(trainer.network.state_dict())
    teacher = trainer.students.average.module["network"].state_dict()
    seen = {}
    monkeypatch.setattr(
        nnUNetTrainer,
        "perform_actual_validation",
        lambda self, _: seen.update(copy.deepcopy(self.network.state_dict())),
    )
    trainer.perform_actual_validation()
    assert_equal(seen, dict(teacher))
    assert_equal(trainer.network.state_dict(), student)


def test_pretrained_weights_reach_the_teacher(make_trainer: Callable[..., nnUNetTrainer]) -> None:
    trainer = make_trainer(nnUNetTrainerDyCON)
    trainer.initialize()
    with torch.no_grad():
        for parameter in trainer.network.parameters():
            parameter.add_(1)
    trainer.on_train_start()
    assert_equal(trainer.students.average.module["network"].state_dict(), trainer.network.state_dict())


def test_a_checkpoint_of_other_settings_is_refused(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]
) -> None:
    trainer = make_trainer(nnUNetTrainerDyCON, num_epochs=1)
    trainer.run_training()
    plans = workspace.read_plans()
    plans["configurations"]["3d_fullres"]["dycon"] = {"uncl_weight": 1.5}
    workspace.write_plans(plans, plans["plans_name"])
    other = make_trainer(nnUNetTrainerDyCON)
    with pytest.raises(UserError, match=r"uncl_weight: 1.0 there, 1.5 now"):
        other.load_checkpoint(str(Path(trainer.output_folder) / "checkpoint_final.pth"))
    with pytest.raises(UserError, match=r"uncl_weight: 1.0 there, 1.5 now.*nnunetv2_dycon plan"):
        other.on_train_start()


def test_a_checkpoint_of_plain_nnunet_is_refused_for_resuming(make_trainer: Callable[..., nnUNetTrainer]) -> None:
    plain = make_trainer(nnUNetTrainer, num_epochs=1)
    plain.run_training()
    trainer = make_trainer(nnUNetTrainerDyCON)
    with pytest.raises(UserError, match="-pretrained_weights"):
        trainer.load_checkpoint(str(Path(plain.output_folder) / "checkpoint_final.pth"))


def test_disabled_checkpointing_writes_nothing(make_trainer: Callable[..., nnUNetTrainer]) -> None:
    trainer = make_trainer(nnUNetTrainerDyCON, num_epochs=1)
    trainer.disable_checkpointing = True
    trainer.run_training()
    assert not list(Path(trainer.output_folder).glob("*.pth"))


def test_checkpoints_have_what_nnunet_s_have_and_our_state(make_trainer: Callable[..., nnUNetTrainer]) -> None:
    keys = {}
    for trainer_class in (nnUNetTrainer, nnUNetTrainerDyCON):
        trainer = make_trainer(trainer_class)
        trainer.initialize()
        Path(trainer.output_folder).mkdir(parents=True, exist_ok=True)
        file = Path(trainer.output_folder) / "checkpoint_latest.pth"
        trainer.save_checkpoint(str(file))
        keys[trainer_class] = set(torch.load(file, weights_only=False))
    assert keys[nnUNetTrainerDyCON] - keys[nnUNetTrainer] == {STATE_KEY}
    assert keys[nnUNetTrainer] <= keys[nnUNetTrainerDyCON]
