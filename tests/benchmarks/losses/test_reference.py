from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.losses.reference import fecl_reference, uncl_reference
from nnunetv2_dycon.methods.schedules import sigmoid_rampup
from tests.losses.released_code import released_arrays, released_case


@pytest.mark.parametrize("name", ["binary_b0.5", "binary_b5", "four_class_b1.2", "confident_b0.8"])
def test_uncl_equals_the_released_code(shared_folder: Path, name: str) -> None:
    case, arrays = released_case(shared_folder, name=name), released_arrays(shared_folder, "uncl", name)
    student, expected = arrays["student_logits"].requires_grad_(), arrays["grad_student"]
    loss = uncl_reference(student, arrays["teacher_logits"], case["beta"])
    loss.backward()
    assert loss.item() == pytest.approx(case["value"], rel=1e-6)
    assert (student.grad - expected).norm() <= 1e-6 * expected.norm()


@pytest.mark.parametrize(
    "name",
    ["plain", "focal", "focal_teacher_epoch0", "focal_teacher_epoch900", "uncertainty", "tau0.1_gamma4"],
)
def test_fecl_equals_the_released_code(shared_folder: Path, name: str) -> None:
    case, inputs = released_case(shared_folder, name=name), released_arrays(shared_folder, "fecl", name)
    embeddings = inputs["embeddings"].requires_grad_()
    loss = fecl_reference(
        embeddings,
        inputs["labels"].squeeze(1),
        teacher_embeddings=inputs.get("teacher_embeddings"),
        entropy=inputs.get("uncertainty"),
        temperature=case["temperature"],
        gamma=case["gamma"],
        focal=case["use_focal"],
        hard_negative_threshold=sigmoid_rampup(case["epoch"] / case["rampup_epochs"], 0.3, 0.5),
        lambda_cross=case["lambda_cross"],
    )
    loss.backward()
    expected = inputs["grad_embeddings"]
    assert loss.item() == pytest.approx(case["value"], rel=1e-6)
    assert (embeddings.grad - expected).norm() <= 1e-6 * expected.norm()
