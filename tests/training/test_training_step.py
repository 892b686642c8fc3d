"""The training step on two streams."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.methods.method import Losses, Method, Prediction, Task, full_resolution
from nnunetv2_dycon.methods.settings import MethodSettings
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON, trainer_of
from nnunetv2_dycon.training.trainer import nnUNetTrainerSemiSupervised
from tests.settings import FULL_WEIGHTS_AT_ONCE

if TYPE_CHECKING:
    from tests.conftest import Workspace

Make = Callable[..., nnUNetTrainer]


class MeanSquare(Method[MethodSettings, Task]):
    """The smallest method: what a newcomer would write."""

    settings_section = "mean_squared_error"
    settings_class = MethodSettings
    terms = ("mse",)

    def term_weights(self) -> dict[str, float]:
        return {"mse": 2.0}

    def unlabeled_losses(self, student: Prediction, task: Task, progress: float) -> Losses:
        difference = student.logits.softmax(1) - task.teacher.logits.softmax(1)
        return Losses({"mse": difference.square().mean()})


PLAIN_PATCHES = {"cutmix_fraction": 0, "copy_paste_fraction": 0}


@pytest.fixture
def trainer(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]) -> nnUNetTrainerDyCON:
    workspace.write_settings("nnUNetPlansStep", **PLAIN_PATCHES, fecl_weight=0.1, **FULL_WEIGHTS_AT_ONCE)
    trainer = make_trainer(nnUNetTrainerDyCON, "nnUNetPlansStep")
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    return trainer


@pytest.mark.parametrize("method", ["train_step", "save_checkpoint", "load_checkpoint", "validation_step"])
def test_nnunets_signatures_are_those_that_are_overridden(method: str) -> None:
    overridden = inspect.signature(getattr(nnUNetTrainerSemiSupervised, method))
    assert list(inspect.signature(getattr(nnUNetTrainer, method)).parameters) == list(overridden.parameters)


def test_accumulated_gradients_are_those_of_one_loss(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]
) -> None:
    plans = workspace.read_plans()
    plans["configurations"]["3d_fullres"]["mean_squared_error"] = FULL_WEIGHTS_AT_ONCE
    workspace.write_plans(plans, "nnUNetPlansMSE")
    trainer = make_trainer(trainer_of(MeanSquare), "nnUNetPlansMSE")
    trainer.on_train_start()
    labeled, unlabeled = next(trainer.dataloader_train), next(trainer.unlabeled_stream)
    trainer.unlabeled_stream = iter([unlabeled])
    weak, strong = unlabeled["data"].chunk(2, dim=1)

    together = copy.deepcopy(trainer.network)
    both = together(torch.cat([labeled["data"], strong]))
    supervised = trainer.loss([scale[:2] for scale in both], labeled["target"])
    with torch.no_grad():
        target = full_resolution(trainer.students.average.module["network"](weak)).softmax(1)
    (supervised + 2.0 * (both[0][2:].softmax(1) - target).square().mean()).backward()
    torch.nn.utils.clip_grad_norm_(together.parameters(), 12)

    result = trainer.train_step(labeled)
    assert result["loss"] == pytest.approx(supervised.item(), rel=1e-5)
    for (name, parameter), expected in zip(trainer.network.named_parameters(), together.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, expected.grad, rtol=1e-3, atol=1e-5, msg=name)


def test_the_teacher_sees_the_weak_view_and_the_student_the_strong_one(trainer: nnUNetTrainerDyCON) -> None:
    batch = next(trainer.unlabeled_stream)
    trainer.unlabeled_stream = iter([batch])
    seen = []
    trainer.students.teacher.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    trainer.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    labeled = next(trainer.dataloader_train)
    trainer.train_step(labeled)
    weak, strong = batch["data"].chunk(2, dim=1)
    assert not torch.equal(weak, strong)
    for used, expected in zip(seen, [weak, strong, labeled["data"]], strict=True):
        assert torch.equal(used, expected)


def test_the_teacher_follows_the_student_and_has_no_gradient(trainer: nnUNetTrainerDyCON) -> None:
    decay = trainer.settings.ema_decay
    for step in range(3):
        before = copy.deepcopy(trainer.students.average.module.state_dict())
        trainer.train_step(next(trainer.dataloader_train))
        kept = min(1 - 1 / (step + 1), decay)
        student = trainer.students.averaged_modules.state_dict()
        for name, value in trainer.students.average.module.state_dict().items():
            torch.testing.assert_close(value, kept * before[name] + (1 - kept) * student[name])
    assert all(parameter.grad is None for parameter in trainer.students.average.parameters())


def test_the_projection_head_is_trained(trainer: nnUNetTrainerDyCON) -> None:
    before = copy.deepcopy(trainer.students.auxiliary.state_dict())
    trainer.train_step(next(trainer.dataloader_train))
    assert all(
        not torch.equal(before[name], value)
        for name, value in trainer.students.auxiliary.state_dict().items()
        if "weight" in name
    )
    assert trainer.optimizer.param_groups[1]["lr"] == trainer.optimizer.param_groups[0]["lr"]


def test_everything_is_logged_once_an_epoch(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]) -> None:
    workspace.write_settings("nnUNetPlansLog", warmup_fraction=0.5, wait_for_labels=False, fecl_weight=0.1)
    trainer = make_trainer(nnUNetTrainerDyCON, "nnUNetPlansLog")
    trainer.run_training()
    log = trainer.logger.get_checkpoint()
    names = ("loss", "weight", "share")
    keys = {f"{term}_{name}" for term in ("uncl", "fecl") for name in names}
    keys |= {"ramp", "beta", "student_entropy", "teacher_entropy", "pseudo_foreground_fraction"}
    keys |= {"student_pseudo_dice", "teacher_pseudo_dice"}
    for key in keys:
        assert len(log[key]) == 2, key
    # The first epoch is the warm-up: nothing unsupervised happens in it.
    for key in ("uncl_loss", "fecl_share", "beta", "student_entropy"):
        assert log[key][0] != log[key][0], key
        assert log[key][1] > 0, key
    assert log["uncl_weight"][0] == 0
    assert 0 < log["uncl_share"][1] + log["fecl_share"][1] < 1
    text = Path(trainer.log_file).read_text()
    assert text.count("have no weight before epoch 1 (warmup_fraction)") == 1
    assert "nan" not in text.split("Epoch 0")[1].lower().replace("dice", "")
    assert "uncl_share" in text
    assert "uncl_weight: 1.0" in text


def test_bfloat16_autocast(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]) -> None:
    class Autocast(nnUNetTrainerDyCON):
        def autocast_context(self) -> torch.autocast:
            return torch.autocast("cpu", dtype=torch.bfloat16)

    workspace.write_settings("nnUNetPlansStep", copy_paste_fraction=0.5, fecl_weight=0.1, **FULL_WEIGHTS_AT_ONCE)
    losses = {}
    for trainer_class in (nnUNetTrainerDyCON, Autocast):
        trainer = make_trainer(trainer_class, "nnUNetPlansStep")
        trainer.on_train_start()
        trainer.on_train_epoch_start()
        for _ in range(3):
            trainer.train_step(next(trainer.dataloader_train))
        assert all(torch.isfinite(parameter).all() for parameter in trainer.network.parameters())
        losses[trainer_class] = trainer.statistics.pop_means()
    for name, value in losses[Autocast].items():
        assert value == pytest.approx(losses[nnUNetTrainerDyCON][name], rel=0.1, abs=0.01), name


# The compiler itself warns, of what its user cannot change.
@pytest.mark.filterwarnings("default")
def test_compiled_network(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]) -> None:
    class Compiled(nnUNetTrainerDyCON):
        def _do_i_compile(self) -> bool:
            return True

    workspace.write_settings("nnUNetPlansStep", copy_paste_fraction=0.5, fecl_weight=0.1, **FULL_WEIGHTS_AT_ONCE)
    weights, losses = {}, {}
    for trainer_class in (nnUNetTrainerDyCON, Compiled):
        trainer = make_trainer(trainer_class, "nnUNetPlansStep")
        trainer.on_train_start()
        trainer.on_train_epoch_start()
        trainer.train_step(next(trainer.dataloader_train))
        weights[trainer_class] = trainer.student_network.state_dict()
        losses[trainer_class] = trainer.statistics.pop_means()
    assert isinstance(trainer.network, torch._dynamo.OptimizedModule)
    assert losses[Compiled] == pytest.approx(losses[nnUNetTrainerDyCON], rel=1e-3)
    for name, value in weights[nnUNetTrainerDyCON].items():
        torch.testing.assert_close(weights[Compiled][name], value, rtol=1e-3, atol=1e-4)


def test_what_a_subclass_puts_in_place_later_is_used(workspace: Workspace, make_trainer: Make) -> None:
    """As nnU-Net's own nnUNetTrainer_warmup replaces its optimizer in the middle of the training."""
    workspace.write_settings("nnUNetPlansStep", fecl_weight=0, **FULL_WEIGHTS_AT_ONCE)
    trainer = make_trainer(nnUNetTrainerDyCON, "nnUNetPlansStep")
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    before = copy.deepcopy(trainer.network.state_dict())
    trainer.optimizer = torch.optim.SGD(trainer.network.parameters(), lr=0)
    losses = []
    supervised = trainer.loss
    trainer.loss = lambda *arguments: losses.append(supervised(*arguments)) or losses[-1]
    trainer.train_step(next(trainer.dataloader_train))
    assert len(losses) == 1
    for name, value in trainer.network.state_dict().items():
        assert torch.equal(value, before[name]), name


class LabeledTerm(MeanSquare):
    """A term on labeled batches alone."""

    settings_section = "labeled_only"

    def unlabeled_losses(self, student: Prediction, task: Task, progress: float) -> Losses:
        return Losses({})

    def labeled_losses(self, student: Prediction, target: torch.Tensor, progress: float) -> Losses:
        return Losses({"mse": student.logits.square().mean()})


def test_a_method_may_have_no_term_on_unlabeled_batches(workspace: Workspace, make_trainer: Make) -> None:
    plans = workspace.read_plans()
    plans["configurations"]["3d_fullres"]["labeled_only"] = FULL_WEIGHTS_AT_ONCE
    workspace.write_plans(plans, "nnUNetPlansLabeled")
    trainer = make_trainer(trainer_of(LabeledTerm), "nnUNetPlansLabeled")
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    trainer.train_step(next(trainer.dataloader_train))
    assert trainer.statistics.pop_means()["mse_loss"] > 0
