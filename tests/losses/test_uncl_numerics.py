"""UnCL in half precision, at large values, and what it keeps in memory."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nnunetv2_dycon.losses.label_space import LabelSpace
from nnunetv2_dycon.losses.uncl import uncl_loss, uncl_terms
from tests.losses.largest_tensor import LargestTensor
from tests.losses.uncl_inputs import LABEL_SPACES, NORMALIZATIONS, logits


@pytest.mark.parametrize("labels", LABEL_SPACES, ids=str)
def test_sixty_uncertain_classes_at_beta_five_do_not_overflow(labels: LabelSpace) -> None:
    student = torch.zeros(1, 60, 2, 2, dtype=torch.float16)
    student[:, 0] = 0.1
    student.requires_grad_()
    teacher = torch.zeros(1, 60, 2, 2, dtype=torch.float16)
    terms = uncl_terms(student, teacher, 5.0, labels=labels, with_cross_entropy=True)
    (terms.distance + terms.entropy + terms.cross_entropy).backward()
    assert all(term.isfinite() for term in terms)
    assert student.grad.isfinite().all()
    assert terms.entropy > 8


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("labels", LABEL_SPACES, ids=str)
def test_half_precision_logits_are_computed_in_float32(dtype: torch.dtype, labels: LabelSpace) -> None:
    exact_student, exact_teacher = logits(2, 4, 16, 16), logits(2, 4, 16, 16, seed=1)
    student, teacher = exact_student.to(dtype).requires_grad_(), exact_teacher.to(dtype)
    rounded = student.detach().double().requires_grad_()
    options = {"labels": labels, "cross_entropy_weight": 0.5}
    loss = uncl_loss(student, teacher, 2.0, **options)
    loss.backward()
    uncl_loss(rounded, teacher.double(), 2.0, **options).backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(uncl_loss(exact_student, exact_teacher, 2.0, **options).item(), rel=1e-2)
    assert student.grad.dtype == dtype
    assert (student.grad - rounded.grad).norm() <= 1e-2 * rounded.grad.norm()


def test_autocast_changes_nothing() -> None:
    student, teacher = logits(2, 4, 6, 6, dtype=torch.float32), logits(2, 4, 6, 6, seed=1, dtype=torch.float32)
    mask = torch.rand(2, 6, 6, generator=torch.Generator().manual_seed(2))
    results = []
    for enabled in (False, True):
        leaf = student.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            loss = uncl_loss(leaf, teacher, 1.0, mask=mask)
            loss.backward()
        results.append((loss.detach(), leaf.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


def test_non_contiguous_logits() -> None:
    student = logits(2, 5, 4, 3).movedim(4 - 1, 1)
    teacher = logits(2, 3, 5, 4, seed=1)
    expected = uncl_loss(student.contiguous(), teacher, 1.0)
    leaf = student.requires_grad_()
    loss = uncl_loss(leaf, teacher, 1.0)
    loss.backward()
    torch.testing.assert_close(loss, expected)
    assert leaf.grad.shape == leaf.shape


def test_nothing_waits_for_the_device() -> None:
    # A tensor on the meta device has no values: whatever asks for one raises.
    student = torch.empty(2, 3, 8, 8, 8, device="meta", requires_grad=True)
    teacher, mask = torch.empty(2, 3, 8, 8, 8, device="meta"), torch.empty(2, 8, 8, 8, device="meta")
    for labels in LABEL_SPACES:
        for normalization in NORMALIZATIONS:
            options = {"mask": mask, "labels": labels, "normalization": normalization, "cross_entropy_weight": 0.5}
            uncl_loss(student, teacher, 1.0, **options).backward()


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_nothing_is_larger_than_the_logits(normalization: str) -> None:
    student, teacher = logits(6, 2, 8, 8, 8).requires_grad_(), logits(6, 2, 8, 8, 8, seed=1)
    with LargestTensor() as largest:
        uncl_loss(student, teacher, 1.0, normalization=normalization, cross_entropy_weight=0.5).backward()
    assert largest.elements == student.numel()


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_only_the_arguments_and_some_values_a_class_are_kept_for_backward(normalization: str) -> None:
    student, teacher = logits(2, 3, 8, 8).requires_grad_(), logits(2, 3, 8, 8, seed=1)
    saved: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: saved.append(tensor) or tensor, lambda tensor: tensor):
        uncl_terms(student, teacher, 1.0, normalization=normalization, with_cross_entropy=True)
    own = [tensor for tensor in saved if tensor.data_ptr() not in (student.data_ptr(), teacher.data_ptr())]
    assert sum(tensor.numel() for tensor in own) <= 1 + 2 * student.shape[1]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_values_and_gradients_are_finite_for_any_input(data: st.DataObject) -> None:
    shape = (
        data.draw(st.integers(1, 3)),
        data.draw(st.integers(1, 6)),
        *data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)),
    )
    dtype = data.draw(st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]))
    scale = data.draw(st.sampled_from([0.0, 1.0, 50.0, 5000.0]))
    seed = data.draw(st.integers(0, 1000))
    student = logits(*shape, seed=seed, scale=scale, dtype=dtype).requires_grad_()
    teacher = logits(*shape, seed=seed + 1, scale=scale, dtype=dtype)
    mask_share = data.draw(st.sampled_from([None, 0.0, 0.5, 1.0]))
    mask = None
    if mask_share is not None:
        mask = torch.rand(shape[0], *shape[2:], generator=torch.Generator().manual_seed(seed)) < mask_share
    beta, labels = data.draw(st.sampled_from([0.0, 0.5, 5.0])), data.draw(st.sampled_from(LABEL_SPACES))
    normalization = data.draw(st.sampled_from(NORMALIZATIONS))
    options = {"labels": labels, "mask": mask, "normalization": normalization}
    terms = uncl_terms(student, teacher, beta, with_cross_entropy=True, **options)
    (terms.distance + terms.entropy + terms.cross_entropy).backward()
    assert all(term.isfinite() for term in terms)
    assert student.grad.isfinite().all()
    assert 0 <= terms.distance <= shape[1]
