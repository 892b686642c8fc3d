"""The uncertainty of nnUNetTrainerUAMT."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.losses.segmentation import softmax_mse
from nnunetv2_dycon.training.network.network_output import NetworkOutput
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerUAMT import nnUNetTrainerUAMT

if TYPE_CHECKING:
    from tests.conftest import Workspace


@pytest.fixture
def trainer(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]) -> nnUNetTrainerUAMT:
    plans = workspace.read_plans()
    settings = {"warmup_fraction": 0, "rampup_fraction": 0, "stochastic_passes": 3}
    plans["configurations"]["3d_fullres"]["uamt"] = settings
    workspace.write_plans(plans, "nnUNetPlansUAMT")
    return make_trainer(nnUNetTrainerUAMT, "nnUNetPlansUAMT")


def test_the_threshold_rises_to_the_largest_entropy(trainer: nnUNetTrainerUAMT) -> None:
    largest = math.log(trainer.label_manager.num_segmentation_heads)
    assert trainer.uncertainty_threshold == pytest.approx((0.75 + 0.25 * math.exp(-5)) * largest)
    trainer.current_epoch = 1
    assert trainer.uncertainty_threshold == pytest.approx((0.75 + 0.25 * math.exp(-1.25)) * largest)
    trainer.current_epoch = 2
    assert trainer.uncertainty_threshold == pytest.approx(largest)


def test_the_teacher_sees_noisy_weak_views_and_then_the_weak_view(trainer: nnUNetTrainerUAMT) -> None:
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    batch = next(trainer.unlabeled_stream)
    trainer.unlabeled_stream = iter([batch])
    weak = batch["data"].chunk(2, dim=1)[0]
    seen, said = [], []
    trainer.teacher_network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    trainer.teacher_network.register_forward_hook(lambda *arguments: said.append(arguments[-1]))
    uncertainties = []
    estimate = trainer._estimate_uncertainty
    trainer._estimate_uncertainty = lambda data: uncertainties.append(estimate(data)) or uncertainties[0]
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
    assert trainer._uncertainty is None


def test_uncertain_voxels_do_not_count(trainer: nnUNetTrainerUAMT) -> None:
    student = torch.randn(2, 3, 4, 4, 4, requires_grad=True)
    teacher = torch.randn(2, 3, 4, 4, 4)
    trainer._uncertainty = torch.rand(2, 1, 4, 4, 4) * math.log(3)
    certain = trainer._uncertainty < trainer.uncertainty_threshold
    assert certain.any()
    assert not certain.all()
    (loss,) = trainer.unlabeled_losses(NetworkOutput(student, None), NetworkOutput(teacher, None)).values()
    loss.backward()
    assert loss.item() == softmax_mse(student, teacher, mask=certain).item()
    assert torch.equal(student.grad.any(1, keepdim=True), certain)
    assert trainer.statistics.pop_means()["certain_fraction"] == pytest.approx(certain.float().mean().item())
