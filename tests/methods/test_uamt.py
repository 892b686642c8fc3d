"""The uncertainty of UAMT."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.losses.label_space import Classes, Regions
from nnunetv2_dycon.losses.segmentation import softmax_mse
from nnunetv2_dycon.methods.method import Prediction, Task
from nnunetv2_dycon.methods.uamt import UAMT, UAMTSettings
from nnunetv2_dycon.trainers import nnUNetTrainerUAMT
from tests.conftest import Workspace
from tests.settings import FULL_WEIGHTS_AT_ONCE


@pytest.fixture
def trainer(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]) -> nnUNetTrainer:
    plans = workspace.read_plans()
    settings = {**FULL_WEIGHTS_AT_ONCE, "stochastic_passes": 3}
    plans["configurations"]["3d_fullres"]["uamt"] = settings
    workspace.write_plans(plans, "nnUNetPlansUAMT")
    return make_trainer(nnUNetTrainerUAMT, "nnUNetPlansUAMT")


@pytest.mark.parametrize(("labels", "largest"), [(Classes(), math.log(3)), (Regions(), math.log(2))])
def test_the_threshold_rises_to_the_largest_entropy(labels: Classes | Regions, largest: float) -> None:
    method = UAMT(UAMTSettings(), labels)
    assert method.uncertainty_threshold(3, 0) == pytest.approx((0.75 + 0.25 * math.exp(-5)) * largest)
    assert method.uncertainty_threshold(3, 0.5) == pytest.approx((0.75 + 0.25 * math.exp(-1.25)) * largest)
    assert method.uncertainty_threshold(3, 1) == pytest.approx(largest)


def test_the_teacher_sees_noisy_weak_views_and_then_the_weak_view(trainer: nnUNetTrainer) -> None:
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    batch = next(trainer.unlabeled_stream)
    trainer.unlabeled_stream = iter([batch])
    weak = batch["data"].chunk(2, dim=1)[0]
    seen, said = [], []
    trainer.students.teacher.running.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    trainer.students.teacher.running.register_forward_hook(lambda *arguments: said.append(arguments[-1]))
    uncertainties = []
    losses = trainer.method.unlabeled_losses
    trainer.method.unlabeled_losses = lambda student, task, progress: (
        uncertainties.append(task.teacher.uncertainty) or losses(student, task, progress)
    )
    trainer.train_step(next(trainer.dataloader_train))

    assert len(seen) == 4
    assert torch.equal(seen[3], weak)
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert not torch.equal(seen[first], seen[second])
    for noisy in seen[:3]:
        noise = noisy - weak
        assert noise.abs().max() == pytest.approx(0.2, abs=1e-4)
        # Of a normal distribution of 0.1 clipped at twice that.
        assert noise.std().item() == pytest.approx(0.096, abs=0.002)
    logits = [output[0] if isinstance(output, list) else output for output in said[:3]]
    mean = sum(values.softmax(1) for values in logits) / 3
    expected = -(mean * mean.log()).sum(1, keepdim=True)
    torch.testing.assert_close(uncertainties[0].clone(), expected.clone(), rtol=1e-4, atol=1e-5)


def test_uncertain_voxels_do_not_count() -> None:
    method = UAMT(UAMTSettings(), Classes())
    student = torch.randn(2, 3, 4, 4, 4, requires_grad=True)
    teacher = Prediction(torch.randn(2, 3, 4, 4, 4), uncertainty=torch.rand(2, 1, 4, 4, 4) * math.log(3))
    certain = teacher.uncertainty < method.uncertainty_threshold(3, 0.25)
    assert certain.any()
    assert not certain.all()
    losses = method.unlabeled_losses(Prediction(student), Task(student, teacher), 0.25)
    loss = losses.terms["consistency"]
    loss.backward()
    assert loss.item() == softmax_mse(student, teacher.logits, mask=certain).item()
    assert torch.equal(student.grad.any(1, keepdim=True), certain)
    assert losses.statistics["certain_fraction"].item() == pytest.approx(certain.float().mean().item())
