from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nnunetv2_dycon.losses.fecl import FeCL, fecl_loss
from tests.losses.fecl_inputs import VARIANTS, random_inputs, to, value_and_gradient


def assert_zero(inputs: dict[str, Tensor], variant: str) -> None:
    value, gradient = value_and_gradient(inputs, variant=variant)
    assert value.item() == 0
    assert not gradient.any()


@pytest.mark.parametrize("variant", VARIANTS)
def test_zero_when_all_cells_are_ignored(variant: str) -> None:
    inputs = random_inputs()
    inputs["weights"].zero_()
    assert_zero(inputs, variant)


@pytest.mark.parametrize("variant", VARIANTS)
def test_zero_when_every_class_is_alone(variant: str) -> None:
    inputs = random_inputs(num_cells=6)
    inputs["labels"] = torch.arange(6).repeat(2, 1)
    # The official variant still has its hard negatives then, which need no positives.
    del inputs["teacher_embeddings"]
    assert_zero(inputs, variant)


@pytest.mark.parametrize("variant", VARIANTS)
def test_zero_for_a_single_cell(variant: str) -> None:
    assert_zero(random_inputs(num_cells=1), variant)


@pytest.mark.parametrize("variant", VARIANTS)
def test_zero_without_cells(variant: str) -> None:
    assert_zero(random_inputs(num_cells=0), variant)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_one_class_only_is_finite(variant: str, gamma: float) -> None:
    value, gradient = value_and_gradient(to(random_inputs(num_labels=1), torch.float32), variant=variant, gamma=gamma)
    assert value.isfinite()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_identical_embeddings_are_finite(variant: str, gamma: float) -> None:
    inputs = to(random_inputs(), torch.float32)
    inputs["embeddings"] = inputs["embeddings"][:, :1].expand(-1, 24, -1).clone()
    inputs["teacher_embeddings"] = inputs["embeddings"]
    value, gradient = value_and_gradient(inputs, variant=variant, gamma=gamma)
    assert value.isfinite()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_ignored_cells_might_as_well_not_exist(variant: str) -> None:
    inputs = random_inputs()
    ignored = torch.tensor([0, 5, 23])
    kept = torch.tensor([i for i in range(24) if i not in ignored])
    inputs["weights"] = torch.rand(2, 24, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.1
    expected_value, expected_gradient = value_and_gradient(
        {name: tensor[:, kept] for name, tensor in inputs.items()}, variant=variant
    )
    inputs["weights"][:, ignored] = 0
    for name in ("embeddings", "teacher_embeddings", "entropy"):
        inputs[name][:, ignored] = torch.nan
    value, gradient = value_and_gradient(inputs, variant=variant)
    torch.testing.assert_close(value, expected_value)
    torch.testing.assert_close(gradient[:, kept], expected_gradient)
    assert not gradient[:, ignored].any()


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_weights_are_weights_of_one(variant: str) -> None:
    inputs = random_inputs()
    inputs["weights"] = torch.ones(2, 24)
    expected = fecl_loss(**inputs, variant=variant)
    del inputs["weights"]
    torch.testing.assert_close(fecl_loss(**inputs, variant=variant), expected)


@pytest.mark.parametrize("variant", VARIANTS)
def test_samples_are_not_contrasted_with_each_other(variant: str) -> None:
    inputs = random_inputs()
    inputs["weights"][1] = 0
    _, gradient = value_and_gradient(inputs, variant=variant)
    first, _ = value_and_gradient({name: tensor[:1] for name, tensor in inputs.items()}, variant=variant)
    torch.testing.assert_close(fecl_loss(**inputs, variant=variant), first)
    assert not gradient[1].any()


@pytest.mark.parametrize("variant", VARIANTS)
def test_only_the_student_receives_a_gradient(variant: str) -> None:
    inputs = random_inputs()
    for name in ("embeddings", "teacher_embeddings", "entropy", "weights"):
        inputs[name].requires_grad_()
    fecl_loss(**inputs, variant=variant).backward()
    assert inputs["embeddings"].grad is not None
    assert all(inputs[name].grad is None for name in ("teacher_embeddings", "entropy", "weights"))


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_the_teacher_mask_leaves_out_does_not_matter(variant: str) -> None:
    inputs, other = random_inputs(), random_inputs(seed=1)
    mask = torch.rand(inputs["labels"].shape, generator=torch.Generator().manual_seed(2)) < 0.5
    options = {"variant": variant, "hard_negative_threshold": 0.1}
    value, gradient = value_and_gradient({**inputs, "teacher_mask": mask}, **options)
    mixed = torch.where(mask.unsqueeze(2), inputs["teacher_embeddings"], other["teacher_embeddings"])
    same = value_and_gradient({**inputs, "teacher_embeddings": mixed, "teacher_mask": mask}, **options)
    torch.testing.assert_close(same, (value, gradient))
    assert value != value_and_gradient(inputs, **options)[0]
    everything = value_and_gradient({**inputs, "teacher_mask": torch.ones_like(mask)}, **options)
    torch.testing.assert_close(everything, value_and_gradient(inputs, **options))
    nothing = value_and_gradient({**inputs, "teacher_mask": torch.zeros_like(mask)}, **options)
    torch.testing.assert_close(nothing, value_and_gradient(inputs, hard_negatives=False, **options))


@pytest.mark.parametrize("variant", VARIANTS)
def test_value_is_the_same_without_a_gradient(variant: str) -> None:
    inputs = random_inputs()
    expected, _ = value_and_gradient(inputs, variant=variant)
    assert torch.equal(fecl_loss(**inputs, variant=variant), expected)
    inputs["embeddings"].requires_grad_()
    with torch.no_grad():
        loss = fecl_loss(**inputs, variant=variant)
    assert torch.equal(loss, expected)
    assert not loss.requires_grad


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.2, "gamma": 1.5, "focal_positives": False, "num_hard_negatives": 2},
        {"focal_negatives": False},
        {"variant": "official", "hard_negative_threshold": 0.2, "lambda_cross": 0.5},
    ],
)
def test_the_module_computes_the_function_with_its_options(options: dict[str, Any]) -> None:
    inputs = random_inputs()
    expected = fecl_loss(**inputs, **options)
    assert torch.equal(FeCL(**options)(**inputs), expected)
    assert options == {} or expected != fecl_loss(**inputs, variant=options.get("variant", "paper"))


def test_an_option_of_the_module_can_change() -> None:
    inputs, fecl = random_inputs(), FeCL(variant="official")
    fecl.hard_negative_threshold = 0.2
    assert torch.equal(fecl(**inputs), fecl_loss(**inputs, variant="official", hard_negative_threshold=0.2))


@pytest.mark.parametrize(
    "option", [{"variant": "other"}, {"temperature": 0}, {"gamma": -1}, {"num_hard_negatives": 0}, {"byte_budget": 0}]
)
def test_options_out_of_range_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        fecl_loss(**random_inputs(), **option)


@pytest.mark.parametrize("name", ["labels", "teacher_embeddings", "teacher_mask", "entropy", "weights"])
def test_shapes_that_do_not_match_are_refused(name: str) -> None:
    inputs = random_inputs()
    inputs["teacher_mask"] = inputs["weights"] > 0
    inputs[name] = inputs[name][:, :-1]
    with pytest.raises(ValueError, match=name):
        fecl_loss(**inputs)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_input_gives_finite_results_that_no_order_and_no_tiling_changes(data: st.DataObject) -> None:
    inputs = random_inputs(
        batch=data.draw(st.integers(1, 3)),
        num_cells=data.draw(st.integers(1, 20)),
        channels=data.draw(st.integers(1, 9)),
        num_labels=data.draw(st.integers(1, 12)),
        seed=data.draw(st.integers(0, 1000)),
    )
    dtype = data.draw(st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]))
    inputs = to(inputs, dtype)
    for name in ("teacher_embeddings", "entropy", "weights"):
        if data.draw(st.booleans()):
            del inputs[name]
    options = {
        "variant": data.draw(st.sampled_from(VARIANTS)),
        "temperature": data.draw(st.sampled_from([0.05, 0.6, 2.0])),
        "gamma": data.draw(st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.5])),
        "num_hard_negatives": data.draw(st.integers(1, 5)),
        "focal_positives": data.draw(st.booleans()),
        "focal_negatives": data.draw(st.booleans()),
    }
    value, gradient = value_and_gradient(inputs, **options)
    assert value.isfinite()
    assert gradient.isfinite().all()

    tolerance = {torch.float64: 1e-9, torch.float32: 1e-4}.get(dtype, 2e-2)
    scale = gradient.double().norm()
    order = data.draw(st.permutations(range(inputs["labels"].shape[1])))
    permuted = value_and_gradient({name: tensor[:, order] for name, tensor in inputs.items()}, **options)
    tiled = value_and_gradient(inputs, **options, byte_budget=data.draw(st.sampled_from([1, 1000, 5000])))
    for other_value, other_gradient in (permuted, (tiled[0], tiled[1][:, order])):
        torch.testing.assert_close(other_value, value, rtol=tolerance, atol=1e-6)
        assert (other_gradient - gradient[:, order]).double().norm() <= tolerance * scale + 1e-6
