"""UnCL with the teacher's most probable classes as target."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from nnunetv2_dycon.losses.label_space import Classes, LabelSpace, Regions
from nnunetv2_dycon.losses.segmentation import dice_and_cross_entropy
from nnunetv2_dycon.losses.uncl_pseudo_labels import uncl_of_pseudo_labels

LABEL_SPACES = [Classes(), Regions()]


def logits(seed: int, *shape: int) -> Tensor:
    return 3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_by_hand() -> None:
    # Two voxels; the teacher is 0.9 and 0.8 sure of foreground and background.
    student = torch.tensor([[0.3, 0.7], [0.6, 0.4]], dtype=torch.float64).log().T.reshape(1, 2, 2, 1)
    teacher = torch.tensor([[0.1, 0.9], [0.8, 0.2]], dtype=torch.float64).log().T.reshape(1, 2, 2, 1)
    beta = 0.5
    terms = uncl_of_pseudo_labels(student, teacher, beta)
    entropies = [-(p * math.log(p) + (1 - p) * math.log(1 - p)) for p in (0.9, 0.8)]
    first, second = (math.exp(-beta * entropy) for entropy in entropies)
    cross_entropy = -(first * math.log(0.7) + second * math.log(0.6)) / (first + second)
    dice = 2 * first * 0.7 / (first * 0.7 + second * 0.4 + first)
    # The count of voxels is at least 1.
    assert first + second > 1
    assert terms.loss.item() == pytest.approx(1 - dice + cross_entropy, abs=1e-5)
    assert terms.teacher_entropy.item() == pytest.approx(sum(entropies) / 2, abs=1e-6)
    assert terms.confident_fraction.item() == 1


def test_voxels_below_the_confidence_do_not_count() -> None:
    student, teacher = logits(0, 2, 3, 6, 5, 4), logits(1, 2, 3, 6, 5, 4)
    confident = teacher.softmax(1).amax(1, keepdim=True) >= 0.8
    assert confident.any()
    assert not confident.all()
    terms = uncl_of_pseudo_labels(student, teacher, 0.0, confidence=0.8)
    (expected,) = dice_and_cross_entropy(student, teacher.argmax(1, keepdim=True), [confident])
    assert terms.loss.item() == pytest.approx(expected.item(), rel=1e-12)
    assert terms.confident_fraction.item() == pytest.approx(confident.float().mean().item())


def test_of_regions_the_least_certain_one_decides() -> None:
    student, teacher = logits(0, 2, 3, 6, 5), logits(1, 2, 3, 6, 5)
    probabilities = teacher.sigmoid()
    confident = ((probabilities >= 0.7) | (probabilities <= 0.3)).all(1, keepdim=True)
    assert confident.any()
    assert not confident.all()
    terms = uncl_of_pseudo_labels(student, teacher, 0.0, labels=Regions(), confidence=0.7)
    (expected,) = dice_and_cross_entropy(student, teacher > 0, [confident], labels=Regions())
    assert terms.loss.item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("labels", LABEL_SPACES, ids=str)
def test_the_mask_weights_voxels_beside(labels: LabelSpace) -> None:
    student, teacher = logits(0, 2, 3, 6, 5), logits(1, 2, 3, 6, 5)
    mask = logits(2, 2, 1, 6, 5) > 0
    loss = uncl_of_pseudo_labels(student, teacher, 0.7, labels=labels, mask=mask).loss
    elsewhere = torch.where(mask, student, logits(3, 2, 3, 6, 5))
    assert uncl_of_pseudo_labels(elsewhere, teacher, 0.7, labels=labels, mask=mask).loss == loss


@pytest.mark.parametrize("labels", LABEL_SPACES, ids=str)
@pytest.mark.parametrize("options", [{"confidence": 1.0}, {"mask": torch.zeros(2, 1, 6, 5)}], ids=str)
def test_where_no_voxel_counts_loss_and_gradient_are_zero(labels: LabelSpace, options: dict) -> None:
    student = logits(0, 2, 3, 6, 5).requires_grad_()
    loss = uncl_of_pseudo_labels(student, logits(1, 2, 3, 6, 5), 1.0, labels=labels, **options).loss
    loss.backward()
    assert loss.item() == 0
    assert not student.grad.any()


@pytest.mark.parametrize("labels", LABEL_SPACES, ids=str)
def test_the_teacher_gets_no_gradient_and_the_students_is_that_of_the_loss(labels: LabelSpace) -> None:
    teacher = logits(1, 2, 3, 4, 3).requires_grad_()

    def loss(student: Tensor) -> Tensor:
        return uncl_of_pseudo_labels(student, teacher, 0.5, labels=labels, confidence=0.6).loss

    student = logits(0, 2, 3, 4, 3).requires_grad_()
    assert torch.autograd.gradcheck(loss, (student,))
    loss(student).backward()
    assert teacher.grad is None


@pytest.mark.parametrize("labels", LABEL_SPACES, ids=str)
def test_half_precision_is_computed_in_float32(labels: LabelSpace) -> None:
    student, teacher = (logits(seed, 2, 3, 6, 5).bfloat16() for seed in (0, 1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = uncl_of_pseudo_labels(student, teacher, 0.5, labels=labels, confidence=0.6)
    expected = uncl_of_pseudo_labels(student.float(), teacher.float(), 0.5, labels=labels, confidence=0.6)
    assert terms.loss.dtype == torch.float32
    assert all(torch.equal(value, other) for value, other in zip(terms, expected, strict=True))


def test_a_negative_beta_is_refused() -> None:
    with pytest.raises(ValueError, match="beta must not be negative"):
        uncl_of_pseudo_labels(logits(0, 1, 2, 3, 3), logits(1, 1, 2, 3, 3), -1.0)


@pytest.mark.parametrize("labels", LABEL_SPACES, ids=str)
def test_nothing_waits_for_the_device(labels: LabelSpace) -> None:
    student, teacher = torch.empty(2, 2, 3, 4, 4, device="meta").unbind()
    assert uncl_of_pseudo_labels(student, teacher, 1.0, labels=labels, confidence=0.9).loss.shape == ()
