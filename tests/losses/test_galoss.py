"""GALoss: Dice and cross-entropy whose gradients do not drown rare classes."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from nnunetv2_dycon.losses.galoss import gace_loss, gadice_loss
from tests.losses.largest_tensor import LargestTensor


def logits(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (3 * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype)


def classes(*shape: int, num_classes: int, seed: int = 3) -> Tensor:
    return torch.randint(num_classes, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.int16)


def in_a_row(*voxels: tuple[float, ...]) -> Tensor:
    """Probabilities of voxels in a row as logits (1, C, number of voxels, 1)."""
    return torch.tensor(voxels, dtype=torch.float64).log().T[None, :, :, None]


def naive_gadice(values: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    probabilities = values.softmax(1).movedim(1, -1).flatten(0, -2)
    voxels = [index for index, counts in enumerate(counted.flatten().tolist()) if counts]
    labels = target.flatten().tolist()
    losses = []
    for c in range(values.shape[1]):
        own = [probabilities[i, c] for i in voxels]
        inside = [probabilities[i, c] for i in voxels if labels[i] == c]
        if inside:
            losses.append(1 - 2 * sum(inside) / (sum(p * p for p in own) + len(inside)))
        else:
            losses.append(sum(p.detach() * p for p in own) / len(voxels))
    return sum(losses) / len(losses)


def naive_gace(values: Tensor, target: Tensor, counted: Tensor, percent: float, gamma: float) -> Tensor:
    log_probabilities = values.log_softmax(1).movedim(1, -1).flatten(0, -2)
    labels = target.flatten().tolist()
    voxels = [index for index, counts in enumerate(counted.flatten().tolist()) if counts]
    terms = {i: -log_probabilities[i, labels[i]] for i in voxels}
    kept = sorted(voxels, key=lambda i: -terms[i].item())[: max(1, int(len(voxels) * percent / 100))]
    loss = values.new_zeros(())
    for c in range(values.shape[1]):
        own = [i for i in kept if labels[i] == c]
        if own:
            loss = loss + sum(terms[i] for i in own) / (len(own) ** (1 - gamma) * len(kept) ** gamma)
    return loss


def value_and_gradient(function: Any, values: Tensor, *args: Any, **options: Any) -> tuple[Tensor, Tensor]:
    leaf = values.clone().requires_grad_()
    loss = function(leaf, *args, **options)
    loss.backward()
    return loss.detach(), leaf.grad


def test_dice_by_hand() -> None:
    # Class 0: 2 * 0.8 / (0.8^2 + 0.3^2 + 1) = 1.6 / 1.73. Class 1: 2 * 0.6 / (0.1^2 + 0.6^2 + 1) = 1.2 / 1.37.
    # Class 2 is absent: (0.1^2 + 0.1^2) / 2 = 0.01.
    values = in_a_row((0.8, 0.1, 0.1), (0.3, 0.6, 0.1))
    target = torch.tensor([0, 1]).view(1, 1, 2, 1)
    assert gadice_loss(values, target).item() == pytest.approx(((1 - 1.6 / 1.73) + (1 - 1.2 / 1.37) + 0.01) / 3)


def test_the_dice_of_a_perfect_prediction_is_zero() -> None:
    target = classes(2, 1, 6, 6, num_classes=3)
    values = torch.where(target == torch.arange(3).view(-1, 1, 1), 50.0, -50.0)
    assert gadice_loss(values, target).item() == pytest.approx(0, abs=1e-6)


def test_one_dice_is_taken_over_the_batch() -> None:
    # Class 1 is in the second patch alone, which makes it present in both.
    values = torch.cat([in_a_row((0.5, 0.5)), in_a_row((0.2, 0.8))])
    target = torch.tensor([0, 1]).view(2, 1, 1, 1)
    expected = (1 - 1.0 / (0.25 + 0.04 + 1) + 1 - 1.6 / (0.25 + 0.64 + 1)) / 2
    assert gadice_loss(values, target).item() == pytest.approx(expected)


def test_the_gradient_of_an_absent_class_is_that_of_a_detached_factor() -> None:
    values, target = logits(2, 3, 4, 4), classes(2, 1, 4, 4, num_classes=2)
    _, gradient = value_and_gradient(gadice_loss, values, target)
    # By the probabilities of class 2, p / N and not 2 p / N.
    leaf = values.clone().requires_grad_()
    probabilities = leaf.softmax(1)
    probabilities.retain_grad()
    truth = (target == torch.arange(3).view(-1, 1, 1)).double()
    present = 1 - 2 * (probabilities * truth).sum((0, 2, 3)) / (probabilities**2 + truth).sum((0, 2, 3))
    (present[:2].sum() / 3).backward()
    by_probability = torch.cat([probabilities.grad[:, :2], probabilities.detach()[:, 2:] / (3 * 32)], dim=1)
    expected = probabilities.detach() * (by_probability - (probabilities * by_probability).sum(1, keepdim=True))
    torch.testing.assert_close(gradient, expected.detach())


def test_cross_entropy_of_all_voxels_by_hand() -> None:
    # K = 4; class 0 has 3 voxels, class 1 one: (ln 2 + ln 2 + ln 4) / sqrt(3 * 4) + ln 8 / sqrt(1 * 4).
    values = in_a_row((1 / 2, 1 / 2), (1 / 2, 1 / 2), (1 / 4, 3 / 4), (7 / 8, 1 / 8))
    target = torch.tensor([0, 0, 0, 1]).view(1, 1, 4, 1)
    expected = 4 * math.log(2) / math.sqrt(12) + math.log(8) / 2
    assert gace_loss(values, target, percent=100).item() == pytest.approx(expected)


def test_cross_entropy_of_the_hardest_voxels_by_hand() -> None:
    # The hardest 3 of 5 have cross-entropies ln 8 and ln 2 (class 1) and ln 4 (class 0); gamma 1/4, K = 3.
    values = in_a_row((15 / 16, 1 / 16), (7 / 8, 1 / 8), (1 / 4, 3 / 4), (1 / 2, 1 / 2), (1 / 8, 7 / 8))
    target = torch.tensor([0, 1, 0, 1, 1]).view(1, 1, 5, 1)
    expected = math.log(16) / (2**0.75 * 3**0.25) + math.log(4) / 3**0.25
    assert gace_loss(values, target, percent=60, gamma=0.25).item() == pytest.approx(expected)


def test_gamma_goes_from_the_sum_of_the_classes_means_to_the_mean_of_the_voxels() -> None:
    values, target = logits(2, 3, 4, 4), classes(2, 1, 4, 4, num_classes=3)
    cross_entropy = torch.nn.functional.cross_entropy(values, target[:, 0].long(), reduction="none")
    means = [cross_entropy[target[:, 0] == c].mean().item() for c in range(3)]
    assert gace_loss(values, target, percent=100, gamma=0).item() == pytest.approx(sum(means))
    assert gace_loss(values, target, percent=100, gamma=1).item() == pytest.approx(cross_entropy.mean().item())


@pytest.mark.parametrize("shape", [(2, 4, 5, 3), (1, 5, 3, 4, 2), (3, 2, 7, 1)])
@pytest.mark.parametrize("with_ignored", [False, True])
def test_dice_equals_a_loop_over_voxels(shape: tuple[int, ...], with_ignored: bool) -> None:
    # The last class is absent.
    values, target = logits(*shape), classes(shape[0], 1, *shape[2:], num_classes=shape[1] - 1)
    ignored = logits(*target.shape, seed=1) > (0 if with_ignored else math.inf)
    value, gradient = value_and_gradient(gadice_loss, values, target, ignored=ignored if with_ignored else None)
    expected_value, expected_gradient = value_and_gradient(naive_gadice, values, target, ~ignored)
    torch.testing.assert_close(value, expected_value)
    torch.testing.assert_close(gradient, expected_gradient)


@pytest.mark.parametrize("percent", [100, 99.9, 50, 10, 0.1])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("with_ignored", [False, True])
def test_cross_entropy_equals_a_loop_over_voxels(percent: float, gamma: float, with_ignored: bool) -> None:
    values, target = logits(2, 5, 6, 4, 3), classes(2, 1, 6, 4, 3, num_classes=4)
    ignored = logits(*target.shape, seed=1) > (0 if with_ignored else math.inf)
    options = {"percent": percent, "gamma": gamma}
    value, gradient = value_and_gradient(
        gace_loss, values, target, ignored=ignored if with_ignored else None, **options
    )
    expected_value, expected_gradient = value_and_gradient(naive_gace, values, target, ~ignored, **options)
    torch.testing.assert_close(value, expected_value)
    torch.testing.assert_close(gradient, expected_gradient)


def gace_of_a_tenth(values: Tensor, target: Tensor, ignored: Tensor | None = None) -> Tensor:
    return gace_loss(values, target, percent=10, ignored=ignored)


def gace_of_all(values: Tensor, target: Tensor, ignored: Tensor | None = None) -> Tensor:
    return gace_loss(values, target, percent=100, ignored=ignored)


LOSSES = [gadice_loss, gace_of_a_tenth, gace_of_all]


@pytest.mark.parametrize("loss", LOSSES)
def test_ignored_voxels_do_not_matter_and_get_no_gradient(loss: Any) -> None:
    values, target = logits(2, 3, 8, 8), classes(2, 1, 8, 8, num_classes=3)
    ignored = logits(2, 1, 8, 8, seed=1) > 0
    value, gradient = value_and_gradient(loss, values, target, ignored=ignored)
    # The ignore label lies beyond the classes.
    other, _ = value_and_gradient(
        loss, torch.where(ignored, -5 * values, values), torch.where(ignored, 3, target), ignored=ignored
    )
    assert value == other
    assert not (gradient * ignored).any()
    assert gradient.any()


@pytest.mark.parametrize("loss", LOSSES)
def test_nothing_ignored_is_the_same_as_no_mask(loss: Any) -> None:
    values, target = logits(2, 3, 8, 8), classes(2, 1, 8, 8, num_classes=3)
    value, gradient = value_and_gradient(loss, values, target, ignored=torch.zeros(2, 1, 8, 8, dtype=torch.bool))
    expected_value, expected_gradient = value_and_gradient(loss, values, target)
    torch.testing.assert_close(value, expected_value)
    torch.testing.assert_close(gradient, expected_gradient)


@pytest.mark.parametrize("loss", LOSSES)
def test_where_everything_is_ignored_loss_and_gradient_are_exactly_zero(loss: Any) -> None:
    target = torch.full((2, 1, 4, 4), 3)
    value, gradient = value_and_gradient(loss, logits(2, 3, 4, 4), target, ignored=target == 3)
    assert value == 0
    assert not gradient.any()


@pytest.mark.parametrize("loss", LOSSES)
def test_half_precision_under_autocast_is_computed_in_float32(loss: Any) -> None:
    values, target = logits(2, 3, 16, 16, dtype=torch.bfloat16), classes(2, 1, 16, 16, num_classes=3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value, gradient = value_and_gradient(loss, values, target)
    assert value.dtype == torch.float32
    assert gradient.dtype == torch.bfloat16
    assert value.item() == pytest.approx(loss(values.double(), target).item(), rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_certain_and_wrong_logits_have_a_finite_loss_and_gradient(loss: Any) -> None:
    # Class 2 is absent, and its probabilities are zero in float32.
    values = torch.tensor([500.0, -500.0, -500.0]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    value, gradient = value_and_gradient(loss, values, torch.ones(1, 1, 4, 4, dtype=torch.int16))
    assert value.isfinite()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("loss", LOSSES)
def test_nothing_waits_for_the_device(loss: Any) -> None:
    # A tensor on the meta device has no values: whatever asks for one raises.
    values = torch.empty(2, 3, 8, 8, 8, device="meta", requires_grad=True)
    target = torch.empty(2, 1, 8, 8, 8, device="meta", dtype=torch.int16)
    loss(values, target, ignored=torch.empty(2, 1, 8, 8, 8, device="meta", dtype=torch.bool)).backward()
    loss(values, target).backward()


@pytest.mark.parametrize("loss", LOSSES)
def test_nothing_is_larger_than_the_logits(loss: Any) -> None:
    values = logits(2, 3, 8, 8, 8).requires_grad_()
    with LargestTensor() as largest:
        loss(values, classes(2, 1, 8, 8, 8, num_classes=3)).backward()
    assert largest.elements == values.numel()


@pytest.mark.parametrize("loss", LOSSES)
def test_shapes_that_do_not_match_are_refused(loss: Any) -> None:
    values, target = logits(2, 3, 4, 4), classes(2, 1, 4, 4, num_classes=3)
    with pytest.raises(ValueError, match="target"):
        loss(values, target[:, 0])
    with pytest.raises(ValueError, match="ignored"):
        loss(values, target, ignored=torch.zeros(2, 1, 4, 3, dtype=torch.bool))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"percent": 0}, "percent"), ({"percent": 101}, "percent"), ({"percent": 10, "gamma": 1.5}, "gamma")],
)
def test_options_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gace_loss(logits(2, 3, 4, 4), classes(2, 1, 4, 4, num_classes=3), **options)
