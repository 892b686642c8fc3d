"""FeCL in half precision, in inference mode and in bounded memory."""

from __future__ import annotations

import math

import pytest
import torch

from nnunetv2_dycon.losses.fecl import fecl_loss
from tests.losses.fecl_inputs import VARIANTS, random_inputs, to, value_and_gradient
from tests.losses.largest_tensor import LargestTensor


@pytest.mark.parametrize(("variant", "entropy"), [("paper", math.log(1e-9)), ("official", 1e-9)])
def test_a_loss_scaler_saves_gradients_too_small_for_half_precision(variant: str, entropy: float) -> None:
    inputs = random_inputs()
    del inputs["teacher_embeddings"]
    inputs["entropy"].fill_(entropy)
    half = to(inputs, torch.float16)
    half["entropy"] = inputs["entropy"]
    half["embeddings"].requires_grad_()
    (fecl_loss(**half, variant=variant) * 1e9).backward()
    _, expected = value_and_gradient(inputs, variant=variant)
    assert (half["embeddings"].grad - expected * 1e9).norm() <= 1e-2 * (expected * 1e9).norm()


@pytest.mark.parametrize("variant", VARIANTS)
def test_inputs_made_in_inference_mode(variant: str) -> None:
    inputs = random_inputs()
    expected_value, expected_gradient = value_and_gradient(inputs, variant=variant)
    with torch.inference_mode():
        others = {name: tensor.clone() for name, tensor in inputs.items() if name != "embeddings"}
    value, gradient = value_and_gradient({**inputs, **others}, variant=variant)
    assert torch.equal(value, expected_value)
    assert torch.equal(gradient, expected_gradient)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_embeddings_are_computed_in_float32(variant: str, dtype: torch.dtype) -> None:
    exact = random_inputs(num_cells=64, channels=32)
    rounded = to(exact, dtype)
    value, gradient = value_and_gradient(rounded, variant=variant)
    _, expected_gradient = value_and_gradient(to(rounded, torch.float64), variant=variant)
    assert value.dtype == torch.float32
    assert gradient.dtype == dtype
    assert value.item() == pytest.approx(fecl_loss(**exact, variant=variant).item(), rel=1e-2)
    assert (gradient - expected_gradient).norm() <= 1e-2 * expected_gradient.norm()


@pytest.mark.parametrize("variant", VARIANTS)
def test_autocast_changes_nothing(variant: str) -> None:
    inputs = to(random_inputs(), torch.float32)
    expected = value_and_gradient(inputs, variant=variant)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        results = value_and_gradient(inputs, variant=variant)
    assert torch.equal(results[0], expected[0])
    assert torch.equal(results[1], expected[1])


@pytest.mark.parametrize("variant", VARIANTS)
def test_codes_of_sixty_regions_are_told_apart(variant: str) -> None:
    inputs = random_inputs(num_labels=2)
    expected = fecl_loss(**inputs, variant=variant)
    inputs["labels"] += 2**60
    torch.testing.assert_close(fecl_loss(**inputs, variant=variant), expected)


@pytest.mark.parametrize("variant", VARIANTS)
def test_memory_grows_with_the_number_of_cells_and_not_with_its_square(variant: str) -> None:
    inputs = to(random_inputs(num_cells=700, channels=4), torch.float32)
    inputs["embeddings"].requires_grad_()
    with LargestTensor() as largest:
        fecl_loss(**inputs, variant=variant, byte_budget=500_000).backward()
    assert largest.elements * 4 <= 500_000


@pytest.mark.parametrize("variant", VARIANTS)
def test_memory_is_bounded_by_default_too(variant: str) -> None:
    inputs = to(random_inputs(batch=1, num_cells=3000, channels=4), torch.float32)
    inputs["embeddings"].requires_grad_()
    with LargestTensor() as largest:
        fecl_loss(**inputs, variant=variant).backward()
    assert largest.elements <= 3000**2 / 8


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_waits_for_the_device(variant: str) -> None:
    # A tensor on the meta device has no values: whatever asks for one raises.
    inputs = {name: tensor.to("meta") for name, tensor in random_inputs().items()}
    inputs["embeddings"].requires_grad_()
    fecl_loss(**inputs, variant=variant).backward()
