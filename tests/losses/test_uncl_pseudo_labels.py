"""UnCL with the teacher's most probable classes as target."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nnunetv2_dycon.losses.label_space import Classes, LabelSpace, Regions
from nnunetv2_dycon.losses.uncl_pseudo_labels import uncl_of_pseudo_labels

LABEL_SPACES = [Classes(), Regions()]


def logits(seed: int, *shape: int) -> Tensor:
    return 3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def one_hot(classes: Tensor) -> Tensor:
    return functional.one_hot(classes, 3).movedim(-1, 1).double()


def distance(probabilities: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    p, t = (values.movedim(1, -1)[mask[:, 0]] for values in (probabilities, truth))
    return ((p - t).square().sum(0) / (p.square().sum(0) + t.sum(0) + 1e-4 * len(p))).mean()


def test_by_hand() -> None:
    # Two voxels; the teacher is 0.9 and 0.8 sure of foreground and background.
    student = torch.tensor([[0.3, 0.7], [0.6, 0.4]], dtype=torch.float64).log().T.reshape(1, 2, 2, 1)
    teacher = torch.tensor([[0.1, 0.9], [0.8, 0.2]], dtype=torch.float64).log().T.reshape(1, 2, 2, 1)
    beta = 0.5
    terms = uncl_of_pseudo_labels(student, teacher, beta)
    entropies = [-(p * math.log(p) + (1 - p) * math.log(1 - p)) for p in (0.9, 0.8)]
    first, second = (math.exp(-beta * entropy) for entropy in entropies)
    cross_entropy = -(first * math.log(0.7) + second * math.log(0.6)) / (first + second)
    distance = (first * 0.3**2 + second * 0.4**2) / (first * 0.7**2 + second * 0.4**2 + first + 1e-4 * (first + second))
    # The count of voxels is at least 1.
    assert first + second > 1
    assert terms.loss.item() == pytest.approx(distance + cross_entropy, abs=1e-5)
    assert terms.teacher_entropy.item() == pytest.approx(sum(entropies) / 2, abs=1e-6)
    assert terms.confident_fraction.item() == 1


def test_voxels_below_the_confidence_do_not_count() -> None:
    student, teacher = logits(0, 2, 3, 6, 5, 4), logits(1, 2, 3, 6, 5, 4)
    confident = teacher.softmax(1).amax(1, keepdim=True) >= 0.8
    assert confident.any()
    assert not confident.all()
    terms = uncl_of_pseudo_labels(student, teacher, 0.0, confidence=0.8)
    classes = teacher.argmax(1)
    cross_entropy = functional.cross_entropy(student, classes, reduction="none")[confident[:, 0]].mean()
    expected = cross_entropy + distance(student.softmax(1)[:, 1:], one_hot(classes)[:, 1:], confident)
    assert terms.loss.item() == pytest.approx(expected.item(), rel=1e-12)
    assert terms.confident_fraction.item() == pytest.approx(confident.float().mean().item())


def test_of_regions_the_least_certain_one_decides() -> None:
    student, teacher = logits(0, 2, 3, 6, 5), logits(1, 2, 3, 6, 5)
    probabilities = teacher.sigmoid()
    confident = ((probabilities >= 0.7) | (probabilities <= 0.3)).all(1, keepdim=True)
    assert confident.any()
    assert not confident.all()
    terms = uncl_of_pseudo_labels(student, teacher, 0.0, labels=Regions(), confidence=0.7)
    truth = (teacher > 0).double()
    cross_entropy = functional.binary_cross_entropy_with_logits(student, truth, reduction="none")
    expected = cross_entropy.mean(1)[confident[:, 0]].mean() + distance(student.sigmoid(), truth, confident)
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
def test_the_gradient_is_that_of_the_loss_with_a_constant_denominator(labels: LabelSpace) -> None:
    teacher = logits(1, 2, 3, 4, 3).requires_grad_()
    student = logits(0, 2, 3, 4, 3).requires_grad_()
    uncl_of_pseudo_labels(student, teacher, 0.5, labels=labels, confidence=0.6).loss.backward()
    assert teacher.grad is None

    truth = teacher.detach() > 0 if isinstance(labels, Regions) else one_hot(teacher.argmax(1))[:, 1:]
    start, truth = 0 if isinstance(labels, Regions) else 1, truth.double()
    weights = torch.exp(-0.5 * labels.entropy(teacher.detach().double()).double())[:, None]
    weights = weights * (labels.confidence(labels.probabilities(teacher.detach())) >= 0.6)
    constant = labels.probabilities(student.detach())[:, start:]
    sizes = (weights * (constant.square() + truth)).sum((0, 2, 3)) + 1e-4 * weights.sum()

    def loss(x: Tensor) -> Tensor:
        difference = (weights * (labels.probabilities(x)[:, start:] - truth).square()).sum((0, 2, 3)) / sizes
        if isinstance(labels, Regions):
            cross_entropy = functional.binary_cross_entropy_with_logits(x, truth, reduction="none").mean(1)
        else:
            cross_entropy = functional.cross_entropy(x, teacher.argmax(1), reduction="none")
        return difference.mean() + (weights[:, 0] * cross_entropy).sum() / weights.sum()

    copy = student.detach().clone().requires_grad_()
    loss(copy).backward()
    torch.testing.assert_close(student.grad, copy.grad, rtol=1e-5, atol=1e-8)
    assert torch.autograd.gradcheck(loss, (copy,))


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
