"""The consistency loss of mean teachers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from nnunetv2_dycon.losses.label_space import Classes, LabelSpace, Regions
from nnunetv2_dycon.losses.segmentation import softmax_mse

LABEL_SPACES = [Classes(), Regions()]


def logits(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (3 * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype)


def as_logits(*voxels: tuple[float, ...], labels: LabelSpace = Classes()) -> Tensor:
    """Probabilities of voxels in a row as logits (1, C, number of voxels, 1)."""
    probabilities = torch.tensor(voxels, dtype=torch.float64).T[None, :, :, None]
    return probabilities.logit() if isinstance(labels, Regions) else probabilities.log()


def test_classes_by_hand() -> None:
    student, teacher = as_logits((0.9, 0.1), (0.5, 0.5)), as_logits((0.6, 0.4), (0.5, 0.5))
    # Two voxels of two classes: 2 * 0.3^2 / 4.
    assert softmax_mse(student, teacher).item() == pytest.approx(0.045)


def test_regions_by_hand() -> None:
    student, teacher = as_logits((0.9, 0.8), labels=Regions()), as_logits((0.6, 0.9), labels=Regions())
    assert softmax_mse(student, teacher, labels=Regions()).item() == pytest.approx((0.3**2 + 0.1**2) / 2)


def test_a_mask_of_voxels_by_hand() -> None:
    student, teacher = as_logits((0.9, 0.1), (0.8, 0.2), (0.1, 0.9)), as_logits((0.6, 0.4), (0.7, 0.3), (0.9, 0.1))
    mask = torch.tensor([True, True, False]).view(1, 1, 3, 1)
    assert softmax_mse(student, teacher, mask=mask).item() == pytest.approx((2 * 0.3**2 + 2 * 0.1**2) / 4)


def test_a_mask_of_each_region_by_hand() -> None:
    student, teacher = (
        as_logits((0.9, 0.8), (0.3, 0.3), labels=Regions()),
        as_logits((0.6, 0.9), (0.5, 0.9), labels=Regions()),
    )
    mask = torch.tensor([[True, True], [False, False]]).view(1, 2, 2, 1)
    assert softmax_mse(student, teacher, labels=Regions(), mask=mask).item() == pytest.approx((0.3**2 + 0.2**2) / 2)


def test_opposite_predictions_are_worth_one_and_equal_ones_nothing() -> None:
    student = torch.tensor([50.0, -50.0]).view(1, 2, 1, 1)
    assert softmax_mse(student, -student).item() == pytest.approx(1)
    assert softmax_mse(student, student).item() == 0


@pytest.mark.parametrize("labels", LABEL_SPACES, ids=str)
def test_an_empty_mask_gives_exact_zeros(labels: LabelSpace) -> None:
    student = logits(2, 3, 4, 4).requires_grad_()
    loss = softmax_mse(student, logits(2, 3, 4, 4, seed=1), labels=labels, mask=torch.zeros(2, 1, 4, 4).bool())
    loss.backward()
    assert loss.item() == 0
    assert not student.grad.any()


@pytest.mark.parametrize("labels", LABEL_SPACES, ids=str)
def test_gradient(labels: LabelSpace) -> None:
    teacher, mask = logits(2, 3, 3, 2, seed=1), logits(2, 1, 3, 2, seed=2) > 0
    student = logits(2, 3, 3, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda values: softmax_mse(values, teacher, labels=labels, mask=mask), student)


def test_only_the_student_receives_a_gradient() -> None:
    student, teacher = logits(1, 3, 4, 4).requires_grad_(), logits(1, 3, 4, 4, seed=1).requires_grad_()
    softmax_mse(student, teacher).backward()
    assert student.grad.any()
    assert teacher.grad is None


@pytest.mark.parametrize("labels", LABEL_SPACES, ids=str)
def test_half_precision_under_autocast_is_computed_in_float32(labels: LabelSpace) -> None:
    student, teacher = logits(2, 3, 8, 8, dtype=torch.bfloat16), logits(2, 3, 8, 8, seed=1, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = softmax_mse(student, teacher, labels=labels)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(softmax_mse(student.double(), teacher.double(), labels=labels).item())
    assert not math.isclose(loss.item(), 0)


def test_shapes_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        softmax_mse(logits(1, 2, 3, 3), logits(1, 2, 3, 4))
    with pytest.raises(ValueError, match="mask"):
        softmax_mse(logits(1, 3, 3, 3), logits(1, 3, 3, 3), mask=torch.ones(1, 2, 3, 3).bool())


def test_nothing_waits_for_the_device() -> None:
    # A tensor on the meta device has no values: whatever asks for one raises.
    student = torch.empty(2, 3, 4, 4, 4, device="meta", requires_grad=True)
    mask = torch.empty(2, 1, 4, 4, 4, device="meta", dtype=torch.bool)
    softmax_mse(student, torch.empty_like(student), mask=mask).backward()
