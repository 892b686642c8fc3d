"""GA-CPS: gradient-aware losses between two students and with the labels."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.exceptions import UnsupportedFeatureError
from nnunetv2_dycon.losses import gace_loss, gadice_loss
from nnunetv2_dycon.losses.label_space import Classes
from nnunetv2_dycon.methods.ga_cps import GACPS, GACPSSettings
from nnunetv2_dycon.methods.method import Prediction, Task
from nnunetv2_dycon.trainers import nnUNetTrainerGACPS
from tests.conftest import Workspace
from tests.methods.two_students import Start, take_steps

SHAPE = (4, 5, 6)


def test_the_losses_with_the_other_students_labels_by_hand() -> None:
    """Four voxels, of which the other student puts one into class 1; all logits are 0, so each costs ln 2."""
    method = GACPS(GACPSSettings(), Classes())
    student = torch.zeros(1, 2, 2, 2)
    other = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    other = Prediction(torch.stack([other, -other])[None])
    # Class 0: 3 ln 2 / (sqrt(3) sqrt(4)), class 1: ln 2 / (sqrt(1) sqrt(4)); half of it on each batch.
    expected = 0.5 * math.log(2) * (math.sqrt(3) + 1) / 2
    unlabeled = method.unlabeled_losses(Prediction(student), Task(student, other), 0.5)
    assert unlabeled.terms["cross"].item() == pytest.approx(expected)
    assert unlabeled.statistics["pseudo_foreground_fraction"] == 0.25
    labeled = method.labeled_losses(Prediction(student, others=(other,)), torch.zeros(1, 1, 2, 2), 0.5)
    assert labeled.terms["cross"].item() == pytest.approx(expected)


def test_the_supervised_loss_leaves_ignored_voxels_out() -> None:
    method = GACPS(GACPSSettings(supervised_percent=20), Classes(ignore_label=3))
    logits = torch.randn(2, 3, *SHAPE, requires_grad=True)
    target = torch.randint(4, (2, 1, *SHAPE))
    loss = method.supervised_loss()(logits, target)
    ignored = target == 3
    expected = gadice_loss(logits, target, ignored=ignored) + gace_loss(logits, target, percent=20, ignored=ignored)
    assert loss.item() == pytest.approx(expected.item())
    loss.backward()
    assert not (logits.grad * ignored).any()


def test_regions_are_refused_in_one_sentence(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]) -> None:
    workspace.write_labels(regions=True)
    with pytest.raises(UnsupportedFeatureError, match="GACPS does not support region-based training"):
        make_trainer(nnUNetTrainerGACPS)


def test_both_students_are_trained_by_it_at_all_scales(start: Start) -> None:
    trainer = start(nnUNetTrainerGACPS)
    assert isinstance(trainer.loss, DeepSupervisionWrapper)
    data, target = torch.randn(2, 3, 8, 8, 8), torch.randint(3, (2, 1, 8, 8, 8))
    scales = trainer.loss.weight_factors
    single = trainer.method.supervised_loss()(data, target)
    outputs = [data] * len(scales)
    assert trainer.loss(outputs, [target] * len(scales)).item() == pytest.approx((single * sum(scales)).item())
    first, second = (student.network for student in trainer.students)
    before = [next(network.parameters()).clone() for network in (first, second)]
    take_steps(trainer, 2)
    for network, weights in zip((first, second), before, strict=True):
        assert not torch.equal(next(network.parameters()), weights)
    means = trainer.statistics.pop_means()
    assert means["cross_loss"] > 0
    # From the first step on, with a ramp over the whole training, which has six steps.
    assert means["ramp"] == pytest.approx((math.exp(-5) + math.exp(-5 * (5 / 6) ** 2)) / 2)
    assert 0 < means["cross_share"] < 1


def test_the_students_begin_differently(start: Start) -> None:
    trainer = start(nnUNetTrainerGACPS)
    first, second = (student.network for student in trainer.students)
    weights = [network.encoder.stages[1][0].convs[0].conv.weight for network in (first, second)]
    fan_in, fan_out = 4 * 27, 8 * 27
    assert weights[1].std().item() == pytest.approx(math.sqrt(2 / (fan_in + fan_out)), rel=0.1)
    assert weights[0].std().item() > 1.2 * weights[1].std().item()


def test_2d_with_another_unlabeled_batch_size(start: Start) -> None:
    take_steps(start(nnUNetTrainerGACPS, "2d", unlabeled_batch_size=3), 1)
