"""UnCL: its formula, its options and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nnunetv2_dycon.losses import uncl
from nnunetv2_dycon.losses.label_space import LabelSpace, Regions
from nnunetv2_dycon.losses.uncl import UnCL, uncl_loss, uncl_terms
from tests.losses.plain_uncl import plain_uncl_terms
from tests.losses.released_code import released_arrays, released_case
from tests.losses.uncl_inputs import LABEL_SPACES, NORMALIZATIONS, logits

CASES = ["binary_b0.5", "binary_b5", "four_class_b1.2", "confident_b0.8"]


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uncl, "default_byte_budget", lambda _: 1000)


@pytest.mark.parametrize("name", CASES)
def test_equals_the_released_code(shared_folder: Path, name: str) -> None:
    case, arrays = released_case(shared_folder, name=name), released_arrays(shared_folder, "uncl", name)
    student, expected = arrays["student_logits"].requires_grad_(), arrays["grad_student"]
    loss = uncl_loss(student, arrays["teacher_logits"], case["beta"])
    loss.backward()
    assert loss.item() == pytest.approx(case["value"], rel=1e-5)
    assert (student.grad - expected).norm() <= 1e-4 * expected.norm()


@pytest.mark.parametrize("shape", [(2, 3, 5, 4, 3), (1, 60, 3, 5), (3, 1, 4, 4), (2, 2, 7)])
@pytest.mark.parametrize("labels", LABEL_SPACES, ids=str)
@pytest.mark.parametrize("mask_kind", ["none", "boolean", "weights"])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.usefixtures("small_tiles")
def test_terms_and_gradients_equal_the_plain_formula(
    shape: tuple[int, ...], labels: LabelSpace, mask_kind: str, normalization: str
) -> None:
    student, teacher = logits(*shape, seed=1).requires_grad_(), logits(*shape, seed=2)
    random = torch.rand(shape[0], *shape[2:], generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    mask = {"none": None, "boolean": random > 0.4, "weights": random.unsqueeze(1)}[mask_kind]
    options = {"labels": labels, "mask": mask, "normalization": normalization}
    terms = uncl_terms(student, teacher, 0.7, with_cross_entropy=True, **options)
    expected = plain_uncl_terms(student, teacher, 0.7, labels, mask, normalization)
    for value, expected_value in zip(terms, expected, strict=True):
        torch.testing.assert_close(value, expected_value, rtol=1e-9, atol=1e-12)
    for value, expected_value in zip(terms[:3], expected[:3], strict=True):
        (gradient,) = torch.autograd.grad(value, student, retain_graph=True)
        (expected_gradient,) = torch.autograd.grad(expected_value, student, retain_graph=True, materialize_grads=True)
        torch.testing.assert_close(gradient, expected_gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("labels", LABEL_SPACES, ids=str)
@pytest.mark.usefixtures("small_tiles")
def test_gradcheck(labels: LabelSpace) -> None:
    student, teacher = logits(2, 3, 4, 3, scale=1).requires_grad_(), logits(2, 3, 4, 3, seed=1, scale=1)
    mask = torch.rand(2, 4, 3, generator=torch.Generator().manual_seed(2))

    def terms(student: Tensor) -> tuple[Tensor, Tensor]:
        return uncl_terms(student, teacher, 2.0, labels=labels, mask=mask)[:2]

    assert torch.autograd.gradcheck(terms, student)


@pytest.mark.parametrize("labels", LABEL_SPACES, ids=str)
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_a_voxel_on_which_student_and_teacher_agree_is_left_alone(labels: LabelSpace, normalization: str) -> None:
    # A soft Dice loss would enlarge or shrink the prediction there because they disagree elsewhere.
    student, teacher = logits(2, 3, 4, 4).requires_grad_(), logits(2, 3, 4, 4, seed=1)
    agreed = torch.rand(2, 4, 4, generator=torch.Generator().manual_seed(2)) < 0.5
    teacher = torch.where(agreed.unsqueeze(1), student.detach(), teacher)
    uncl_terms(student, teacher, 1.0, labels=labels, normalization=normalization).distance.backward()
    gradient = student.grad.abs().amax(1)
    assert not gradient[agreed].any()
    assert gradient[~agreed].all()


def test_loss_is_the_weighted_sum_of_the_terms() -> None:
    student, teacher = logits(2, 3, 4, 4), logits(2, 3, 4, 4, seed=1)
    terms = uncl_terms(student, teacher, 2.0, with_cross_entropy=True)
    torch.testing.assert_close(uncl_loss(student, teacher, 2.0), terms.distance + 2.0 * terms.entropy)
    loss = uncl_loss(student, teacher, 2.0, entropy_weight=0.02)
    torch.testing.assert_close(loss, terms.distance + 0.04 * terms.entropy)
    loss = uncl_loss(student, teacher, 2.0, entropy_weight=0, cross_entropy_weight=0.3)
    torch.testing.assert_close(loss, terms.distance + 0.3 * terms.cross_entropy)


def test_a_certain_mistake_is_left_to_the_cross_entropy() -> None:
    student, teacher = torch.tensor([[[9.0], [-9.0]]]).requires_grad_(), torch.tensor([[[-9.0], [9.0]]])
    terms = uncl_terms(student, teacher, 1.0, with_cross_entropy=True)
    (by_distance,) = torch.autograd.grad(terms.distance, student, retain_graph=True)
    (by_cross_entropy,) = torch.autograd.grad(terms.cross_entropy, student)
    assert by_distance.abs().max() < 1e-6
    # The probabilities' difference, of a voxel that counts once since both are certain.
    torch.testing.assert_close(by_cross_entropy, torch.tensor([[[1.0], [-1.0]]]), atol=1e-5, rtol=0)
    assert terms.cross_entropy.item() == pytest.approx(18, rel=1e-3)


@pytest.mark.parametrize(
    "options",
    [{"labels": Regions()}, {"normalization": "classes"}, {"entropy_weight": 0.02}, {"cross_entropy_weight": 0.3}],
)
def test_the_module_computes_the_function_with_its_options(options: dict[str, Any]) -> None:
    student, teacher, mask = logits(2, 3, 4, 4), logits(2, 3, 4, 4, seed=1), logits(2, 1, 4, 4, seed=2) > 0
    expected = uncl_loss(student, teacher, 2.0, mask=mask, **options)
    assert torch.equal(UnCL(**options)(student, teacher, 2.0, mask=mask), expected)
    assert expected != uncl_loss(student, teacher, 2.0, mask=mask)


def test_only_the_student_receives_a_gradient() -> None:
    student, teacher = logits(1, 3, 4, 4).requires_grad_(), logits(1, 3, 4, 4, seed=1).requires_grad_()
    terms = uncl_terms(student, teacher, 1.0, with_cross_entropy=True)
    (terms.distance + terms.entropy + terms.cross_entropy).backward()
    assert student.grad is not None
    assert teacher.grad is None
    assert not terms.student_entropy.requires_grad
    assert not terms.teacher_entropy.requires_grad


def test_teacher_logits_made_in_inference_mode() -> None:
    student = logits(1, 3, 4, 4).requires_grad_()
    with torch.inference_mode():
        teacher = logits(1, 3, 4, 4, seed=1)
    uncl_loss(student, teacher, 1.0).backward()
    (expected,) = torch.autograd.grad(uncl_loss(student, logits(1, 3, 4, 4, seed=1), 1.0), student)
    assert torch.equal(student.grad, expected)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_background_dilutes_a_mean_over_voxels_and_not_over_classes(normalization: str) -> None:
    background = torch.tensor([20.0, -20.0], dtype=torch.float64).view(1, 2, 1, 1)
    student, teacher = logits(1, 2, 4, 4), logits(1, 2, 4, 4, seed=1)
    wide = background.expand(1, 2, 4, 12)
    small = uncl_terms(student, teacher, 1.0, normalization=normalization).distance
    large = uncl_terms(
        torch.cat([student, wide], 3), torch.cat([teacher, wide], 3), 1.0, normalization=normalization
    ).distance
    assert large.item() == pytest.approx(small.item() / (4 if normalization == "voxels" else 1), rel=1e-3)


def test_a_class_that_neither_sees_has_no_say_and_a_small_structure_has() -> None:
    background, other = (torch.cat([logits(2, 1, 24, 24, 24, seed=seed, scale=0.5) + 9] * 2, 1) for seed in (0, 1))
    background[:, 1], other[:, 1] = 0, 0
    unsure, lesion = background.clone(), other.clone()
    unsure[..., 10:13, 10:13, 10:13] = 0
    lesion[:, 1, 10:13, 10:13, 10:13] = 20

    def distance_and_pull(student: Tensor, teacher: Tensor) -> tuple[float, float]:
        student = student.requires_grad_()
        distance = uncl_terms(student, teacher, 1.0, normalization="classes").distance
        (gradient,) = torch.autograd.grad(distance, student)
        return distance.item(), gradient.abs().max().item()

    distance_of_nothing, pull_of_nothing = distance_and_pull(background, other)
    distance_of_lesion, pull_of_lesion = distance_and_pull(unsure, lesion)
    assert distance_of_nothing < 0.01
    assert distance_of_lesion > 0.1
    assert pull_of_nothing < 0.01 * pull_of_lesion


@pytest.mark.parametrize("labels", LABEL_SPACES, ids=str)
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_a_perfect_student_has_zero_distance(labels: LabelSpace, normalization: str) -> None:
    student = logits(2, 4, 3, 3, 3, dtype=torch.float32).requires_grad_()
    distance = uncl_terms(student, student.detach().clone(), 1.0, labels=labels, normalization=normalization).distance
    distance.backward()
    assert distance.item() == 0
    assert not student.grad.any()


@pytest.mark.parametrize("labels", LABEL_SPACES, ids=str)
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_an_empty_mask_gives_exact_zeros(labels: LabelSpace, normalization: str) -> None:
    student, teacher = logits(2, 3, 4, 4).requires_grad_(), logits(2, 3, 4, 4, seed=1)
    mask = torch.zeros(2, 4, 4)
    options = {"labels": labels, "mask": mask, "normalization": normalization}
    terms = uncl_terms(student, teacher, 1.0, with_cross_entropy=True, **options)
    (terms.distance + terms.entropy + terms.cross_entropy).backward()
    assert all(term.item() == 0 for term in terms)
    assert not student.grad.any()


@pytest.mark.parametrize(
    ("student", "teacher", "mask", "beta", "message"),
    [
        ((2, 3, 4), (2, 3, 5), None, 1.0, "logits"),
        ((2, 3), (2, 3), None, 1.0, "logits"),
        ((2, 3, 4), (2, 3, 4), (2, 5), 1.0, "mask"),
        ((2, 3, 4), (2, 3, 4), (2, 3, 4), 1.0, "mask"),
        ((2, 3, 4), (2, 3, 4), None, -1.0, "beta"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    student: tuple[int, ...], teacher: tuple[int, ...], mask: tuple[int, ...] | None, beta: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        uncl_terms(torch.zeros(student), torch.zeros(teacher), beta, mask=None if mask is None else torch.ones(mask))


def test_an_unknown_normalization_is_refused() -> None:
    with pytest.raises(ValueError, match="normalization"):
        uncl_terms(torch.zeros(2, 3, 4), torch.zeros(2, 3, 4), 1.0, normalization="other")  # type: ignore[arg-type]
