from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.losses.reference import fecl_reference, uncl_reference
from nnunetv2_dycon.methods.schedules import sigmoid_rampup


@pytest.mark.parametrize("name", ["binary_b0.5", "binary_b5", "four_class_b1.2", "confident_b0.8"])
def test_uncl_equals_the_released_code(shared_folder: Path, name: str) -> None:
    cases = json.loads((shared_folder / "golden" / "dycon_reference_losses.json").read_text())
    (case,) = [case for case in cases if case.get("name") == name]
    with np.load(shared_folder / "golden" / "dycon_reference_losses.npz") as arrays:
        student, teacher, expected = (
            torch.from_numpy(arrays[f"uncl/{name}/{array}"])
            for array in ("student_logits", "teacher_logits", "grad_student")
        )
    student.requires_grad_()
    loss = uncl_reference(student, teacher, case["beta"])
    loss.backward()
    assert loss.item() == pytest.approx(case["value"], rel=1e-6)
    assert (student.grad - expected).norm() <= 1e-6 * expected.norm()


@pytest.mark.parametrize(
    "name",
    ["plain", "focal", "focal_teacher_epoch0", "focal_teacher_epoch900", "uncertainty", "tau0.1_gamma4"],
)
def test_fecl_equals_the_released_code(shared_folder: Path, name: str) -> None:
    cases = json.loads((shared_folder / "golden" / "dycon_reference_losses.json").read_text())
    (case,) = [case for case in cases if case.get("name") == name]
    with np.load(shared_folder / "golden" / "dycon_reference_losses.npz") as arrays:
        inputs = {
            array: torch.from_numpy(arrays[f"fecl/{name}/{array}"])
            for array in ("embeddings", "labels", "teacher_embeddings", "uncertainty", "grad_embeddings")
            if f"fecl/{name}/{array}" in arrays
        }
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
