"""Cross-view mutual learning: mixed patches, their target, disagreement, and the second student's decoder."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from nnunetv2_dycon.losses.label_space import Classes, Regions
from nnunetv2_dycon.losses.segmentation import dice_and_cross_entropy
from nnunetv2_dycon.methods.cml import CML, CMLSettings, CrossViewTask
from nnunetv2_dycon.methods.method import Guidance, LabeledBatch, Prediction
from nnunetv2_dycon.networks.interpolating_decoder import InterpolatingConvolution
from nnunetv2_dycon.trainers import nnUNetTrainerCML
from tests.methods.two_students import Start, fix_batches, take_steps
from tests.settings import FULL_WEIGHTS_AT_ONCE

PATCH = (6, 9, 3)


def make_task(method: CML, batch: int = 2, channels: int = 3) -> tuple[Tensor, Tensor, Tensor, CrossViewTask]:
    """The strong view, the logits of the other student and the own ones, and the task."""
    strong = torch.randn(batch, 1, *PATCH)
    other, own = torch.randn(2, batch, channels, *PATCH).unbind()
    labeled = LabeledBatch(torch.randn(2, 1, *PATCH), torch.zeros(2, 1, *PATCH))
    return strong, other, own, method.task(strong, Guidance((Prediction(other),), Prediction(own)), labeled)


@pytest.mark.parametrize("labels", [Classes(), Regions()], ids=["classes", "regions"])
def test_the_others_labels_are_learnt_outside_of_the_box_and_the_own_ones_in_it(labels: Classes | Regions) -> None:
    method = CML(CMLSettings(largest_component=False), labels)
    strong, other, own, task = make_task(method)
    others_labels, own_labels = labels.harden(other), labels.harden(own)
    for index, next_one in ((0, 1), (1, 0)):
        in_box = (task.patches[index] == strong[next_one]).all(0)
        assert in_box.sum() == 4 * 6 * 2
        expected = torch.where(in_box, own_labels[next_one], others_labels[index])
        assert torch.equal(task.target[index], expected)


def test_a_single_patch_learns_the_others_labels_alone() -> None:
    method = CML(CMLSettings(largest_component=False), Classes())
    strong, other, _, task = make_task(method, batch=1)
    assert torch.equal(task.patches, strong)
    assert torch.equal(task.target, Classes().harden(other))


def test_the_largest_component_alone_is_kept() -> None:
    logits = torch.zeros(1, 2, *PATCH)
    logits[:, 1] = -1
    logits[:, 1, :3] = 1
    logits[:, 1, 5, 8, 2] = 1
    method = CML(CMLSettings(), Classes())
    guidance = Guidance((Prediction(logits),), Prediction(logits))
    task = method.task(logits[:, :1], guidance, LabeledBatch(logits, logits))
    assert task.target.sum() == 3 * 9 * 3


def test_the_losses_by_hand() -> None:
    method = CML(CMLSettings(largest_component=False), Classes())
    _, _, _, task = make_task(method)
    logits = torch.randn(2, 3, *PATCH)
    # Cosines 1, 0 and -0.6 of the three cells: 3 * 4 / (3 * 4); (1, 0) and (0, 2); (3, 4) and (-5, 0).
    own = torch.tensor([[3.0, 0.0], [1.0, 0.0], [3.0, 4.0]]).T.reshape(1, 2, 3, 1, 1).requires_grad_()
    other = torch.tensor([[4.0, 0.0], [0.0, 2.0], [-5.0, 0.0]]).T.reshape(1, 2, 3, 1, 1)
    student = Prediction(logits, own, others=(Prediction(logits, other),))
    losses = method.unlabeled_losses(student, task, 0.5)
    (mutual,) = dice_and_cross_entropy(logits, task.target, [torch.ones_like(task.target, dtype=torch.bool)])
    assert losses.terms["mutual"].item() == pytest.approx(mutual.item())
    assert losses.terms["disagreement"].item() == pytest.approx(1 + (1 + 0 - 0.6) / 3)
    assert losses.statistics["pseudo_foreground_fraction"].item() == pytest.approx(
        (task.target > 0).float().mean().item()
    )
    labeled = method.labeled_losses(student, task.target, 0.5)
    assert labeled.terms["disagreement"].item() == pytest.approx(1 + 0.4 / 3)
    labeled.terms["disagreement"].backward()
    assert own.grad.any()


def test_without_disagreement_features_are_not_read() -> None:
    method = CML(CMLSettings(disagreement_weight=0), Classes())
    assert not method.reads_features
    assert method.labeled_losses(Prediction(torch.zeros(1, 3, *PATCH)), torch.zeros(1), 0.5).terms == {}


def test_the_second_student_interpolates_and_is_trained(start: Start) -> None:
    trainer = start(nnUNetTrainerCML, **FULL_WEIGHTS_AT_ONCE)
    second = trainer.students.auxiliary["second_student"]
    assert all(isinstance(module, InterpolatingConvolution) for module in second.decoder.transpconvs)
    assert all(isinstance(module, nn.ConvTranspose3d) for module in trainer.network.decoder.transpconvs)
    before = second.decoder.transpconvs[0].convolution.weight.clone()
    take_steps(trainer, 2)
    assert not torch.equal(before, second.decoder.transpconvs[0].convolution.weight)
    means = trainer.statistics.pop_means()
    assert means["mutual_loss"] > 0
    # The sum of a labeled and an unlabeled batch, each in [0, 2].
    assert 0 < means["disagreement_loss"] < 4
    assert all(math.isfinite(value) for value in means.values())


def test_each_student_is_shown_what_the_other_says_of_its_own_view(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = start(nnUNetTrainerCML, **FULL_WEIGHTS_AT_ONCE)
    labeled, _ = fix_batches(trainer)
    seen = []
    losses = trainer.method.unlabeled_losses
    monkeypatch.setattr(
        trainer.method,
        "unlabeled_losses",
        lambda student, task, progress: seen.append((student, task)) or losses(student, task, progress),
    )
    networks = [student.network for student in trainer.students]
    with torch.no_grad():
        features = []
        update = trainer.step._update_weights
        monkeypatch.setattr(
            trainer.step,
            "_update_weights",
            lambda: (
                features.extend(networks[1 - i].encoder(task.patches)[-1] for i, (_, task) in enumerate(seen)),
                update(),
            ),
        )
    trainer.train_step(labeled)
    assert len(seen) == 2
    for (student, _), expected in zip(seen, features, strict=True):
        (other,) = student.others
        torch.testing.assert_close(other.features, expected.detach())
        assert not other.features.requires_grad
        assert student.features.requires_grad
