from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.losses.reference import fecl_reference
from nnunetv2_dycon.losses.fecl import fecl_loss
from nnunetv2_dycon.methods.schedules import sigmoid_rampup
from tests.losses.released_code import released_arrays, released_case

CASES = ["plain", "focal", "focal_teacher_epoch0", "focal_teacher_epoch900", "uncertainty", "tau0.1_gamma4"]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("byte_budget", [None, 10_000])
def test_equals_the_released_code(shared_folder: Path, name: str, byte_budget: int | None) -> None:
    case, case_arrays = released_case(shared_folder, name=name), released_arrays(shared_folder, "fecl", name)
    embeddings = case_arrays["embeddings"].requires_grad_()
    loss = fecl_loss(
        embeddings,
        case_arrays["labels"].squeeze(1),
        teacher_embeddings=case_arrays.get("teacher_embeddings"),
        entropy=case_arrays.get("uncertainty"),
        variant="official",
        temperature=case["temperature"],
        gamma=case["gamma"],
        focal_positives=case["use_focal"],
        hard_negative_threshold=sigmoid_rampup(case["epoch"] / case["rampup_epochs"], 0.3, 0.5),
        lambda_cross=case["lambda_cross"],
        byte_budget=byte_budget,
    )
    loss.backward()
    expected = case_arrays["grad_embeddings"]
    assert loss.item() == pytest.approx(case["value"], rel=1e-5)
    assert (embeddings.grad - expected).norm() <= 1e-4 * expected.norm()


def random_inputs(num_cells: int = 40, num_labels: int = 3, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    return {
        "embeddings": normalize(uniform(2, num_cells, 6) - 0.2, dim=2),
        "labels": torch.randint(0, num_labels, (2, num_cells), generator=generator),
        "teacher_embeddings": normalize(uniform(2, num_cells, 6) - 0.2, dim=2),
        "entropy": uniform(2, num_cells),
    }


def value_and_gradient(function: Any, inputs: dict[str, Tensor], **options: Any) -> tuple[Tensor, Tensor]:
    leaf = inputs["embeddings"].clone().requires_grad_()
    loss = function(leaf, **{name: tensor for name, tensor in inputs.items() if name != "embeddings"}, **options)
    loss.backward()
    return loss.detach(), leaf.grad


@pytest.mark.parametrize("entropy", [False, True])
@pytest.mark.parametrize("teacher", [False, True])
@pytest.mark.parametrize("focal", [False, True])
@pytest.mark.parametrize(("temperature", "gamma"), [(0.6, 2.0), (0.1, 1.0), (0.6, 3.0)])
def test_equals_the_plain_formulas(entropy: bool, teacher: bool, focal: bool, temperature: float, gamma: float) -> None:
    inputs = random_inputs()
    options = {"temperature": temperature, "gamma": gamma, "hard_negative_threshold": 0.4, "lambda_cross": 0.7}
    # The switches have to do what leaving the inputs out does.
    value, gradient = value_and_gradient(
        fecl_loss,
        inputs,
        variant="official",
        entropy_weighting=entropy,
        hard_negatives=teacher,
        focal_positives=focal,
        byte_budget=20_000,
        **options,
    )
    if not entropy:
        del inputs["entropy"]
    if not teacher:
        del inputs["teacher_embeddings"]
    expected_value, expected_gradient = value_and_gradient(fecl_reference, inputs, focal=focal, **options)
    torch.testing.assert_close(value, expected_value, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-9, atol=1e-12)


def test_an_anchor_without_positives_counts_as_zero_as_in_the_released_code() -> None:
    inputs = random_inputs()
    inputs["labels"][0, 3] = 7
    value, gradient = value_and_gradient(fecl_loss, inputs, variant="official", entropy_weighting=False)
    del inputs["entropy"]
    expected_value, expected_gradient = value_and_gradient(fecl_reference, inputs)
    torch.testing.assert_close(value, expected_value)
    torch.testing.assert_close(gradient, expected_gradient)


def test_weights_are_those_of_the_anchors_in_both_terms() -> None:
    inputs = random_inputs(num_cells=12)
    # Doubling every weight changes nothing; an anchor's share of the loss is its weight's share.
    weights = torch.rand(2, 12, generator=torch.Generator().manual_seed(5), dtype=torch.float64) + 0.1
    whole = fecl_loss(**inputs, weights=weights, variant="official", hard_negatives=False)
    torch.testing.assert_close(
        fecl_loss(**inputs, weights=2 * weights, variant="official", hard_negatives=False), whole
    )
    parts = torch.stack(
        [
            fecl_loss(**inputs, weights=torch.where(one > 0, weights, 1e-30), variant="official", hard_negatives=False)
            for one in torch.eye(24, dtype=torch.float64).reshape(24, 2, 12)
        ]
    )
    torch.testing.assert_close((parts * weights.flatten()).sum() / weights.sum(), whole)


def test_hard_negatives_are_averaged_with_the_weights_of_the_anchors() -> None:
    inputs = random_inputs(num_cells=12)
    weights = torch.rand(2, 12, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    weights[:, :2] = 0
    options = {"variant": "official", "weights": weights, "hard_negative_threshold": 0.3, "lambda_cross": 0.7}
    both = fecl_loss(**inputs, **options)
    cosine = inputs["embeddings"] @ inputs["teacher_embeddings"].transpose(1, 2)
    hard = (
        (cosine > 0.3) & (inputs["labels"].unsqueeze(1) != inputs["labels"].unsqueeze(2)) & (weights > 0).unsqueeze(1)
    )
    pair_weights = hard * weights.unsqueeze(2)
    expected = -0.7 * (torch.log(1 - cosine) * pair_weights).sum() / pair_weights.sum()
    torch.testing.assert_close(both - fecl_loss(**inputs, **options, hard_negatives=False), expected)


def test_a_teacher_that_equals_a_negative_is_finite() -> None:
    inputs = {name: tensor.float() for name, tensor in random_inputs().items()}
    inputs["labels"] = inputs["labels"].long()
    inputs["embeddings"][:, :5] = inputs["embeddings"][:, :1]
    inputs["teacher_embeddings"] = inputs["embeddings"].clone()
    value, gradient = value_and_gradient(fecl_loss, inputs, variant="official")
    assert value.isfinite()
    assert gradient.isfinite().all()
