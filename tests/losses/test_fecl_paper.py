from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from nnunetv2_dycon.losses.fecl import fecl_loss
from tests.losses.plain_fecl import plain_paper_fecl

SWITCHES = ["focal_positives", "focal_negatives", "entropy_weighting", "hard_negatives"]


def random_inputs(num_cells: int = 13, num_labels: int = 3, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    return {
        # Cosines of both signs, with more of the positive ones.
        "embeddings": normalize(uniform(2, num_cells, 5) - 0.3, dim=2),
        "labels": torch.randint(0, num_labels, (2, num_cells), generator=generator),
        "teacher_embeddings": normalize(uniform(2, num_cells, 5) - 0.3, dim=2),
        "entropy": uniform(2, num_cells),
        "weights": uniform(2, num_cells) * (uniform(2, num_cells) > 0.2),
    }


def assert_equals_the_formula(inputs: dict[str, Tensor], byte_budget: int | None = None, **options: Any) -> None:
    embeddings = inputs.pop("embeddings")
    results = []
    for function in (partial(fecl_loss, byte_budget=byte_budget), plain_paper_fecl):
        leaf = embeddings.clone().requires_grad_()
        loss = function(leaf, **inputs, **options)
        loss.backward()
        results.append((loss.detach(), leaf.grad))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("switched_off", [None, *SWITCHES])
@pytest.mark.parametrize("seed", [0, 1])
def test_equals_the_formula_with_each_component_off(switched_off: str | None, seed: int) -> None:
    assert_equals_the_formula(random_inputs(seed=seed), **({switched_off: False} if switched_off else {}))


@pytest.mark.parametrize("absent", ["teacher_embeddings", "entropy", "weights"])
def test_equals_the_formula_without_each_optional_input(absent: str) -> None:
    inputs = random_inputs()
    del inputs[absent]
    assert_equals_the_formula(inputs)


def test_all_switches_off_is_the_supervised_contrastive_loss() -> None:
    inputs = random_inputs()
    off = dict.fromkeys(SWITCHES, False)
    embeddings, labels = inputs["embeddings"], inputs["labels"]
    similarity = embeddings @ embeddings.transpose(1, 2) / 0.6
    diagonal = torch.eye(labels.shape[1], dtype=torch.bool)
    log_probability = similarity - similarity.masked_fill(diagonal, -torch.inf).logsumexp(2, keepdim=True)
    positive = (labels.unsqueeze(1) == labels.unsqueeze(2)) & ~diagonal
    expected = -((log_probability * positive).sum(2) / positive.sum(2)).mean()
    torch.testing.assert_close(fecl_loss(embeddings, labels, **off), expected)


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.1},
        {"temperature": 0.02},
        {"gamma": 1.0},
        {"gamma": 1.5},
        {"gamma": 0.5},
        {"gamma": 0.0},
        {"gamma": 4.0},
        {"num_hard_negatives": 1},
        {"num_hard_negatives": 3},
        {"num_hard_negatives": 1000},
        {"byte_budget": 1},
        {"byte_budget": 13 * 8 * 11 * 4},
    ],
)
def test_equals_the_formula_over_options(options: dict[str, Any]) -> None:
    assert_equals_the_formula(random_inputs(), **options)


@pytest.mark.parametrize("num_labels", [1, 2, 8, 60])
def test_equals_the_formula_over_numbers_of_labels(num_labels: int) -> None:
    assert_equals_the_formula(random_inputs(num_labels=num_labels))


@pytest.mark.parametrize("gamma", [2.0, 1.5])
@pytest.mark.parametrize("byte_budget", [None, 13 * 8 * 11 * 4])
def test_gradcheck(gamma: float, byte_budget: int | None) -> None:
    inputs = random_inputs()
    embeddings = inputs.pop("embeddings").requires_grad_()
    assert torch.autograd.gradcheck(
        lambda leaf: fecl_loss(leaf, **inputs, gamma=gamma, num_hard_negatives=4, byte_budget=byte_budget), embeddings
    )


def test_equally_hard_negatives_share_the_last_place() -> None:
    inputs = random_inputs(num_labels=2)
    # Cell 1 of the other class is twice in the teacher; one of them would do for the two hardest.
    teacher = inputs["teacher_embeddings"]
    teacher[:] = teacher[:, :1]
    teacher[:, 5] = inputs["embeddings"][:, 5]
    inputs["embeddings"].requires_grad_()
    order = torch.randperm(13, generator=torch.Generator().manual_seed(1))
    gradients = []
    for permutation in (torch.arange(13), order):
        loss = fecl_loss(**{name: tensor[:, permutation] for name, tensor in inputs.items()}, num_hard_negatives=2)
        gradients.append(torch.autograd.grad(loss, inputs["embeddings"])[0])
    torch.testing.assert_close(*gradients)


def test_a_temperature_that_would_overflow_is_refused() -> None:
    inputs = random_inputs()
    with pytest.raises(ValueError, match="temperature"):
        fecl_loss(**inputs, temperature=0.01)
