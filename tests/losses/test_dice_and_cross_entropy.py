"""nnU-Net's Dice and cross-entropy, within masks."""

from __future__ import annotations

import math

import pytest
import torch
from nnunetv2.training.loss.compound_losses import DC_and_BCE_loss, DC_and_CE_loss
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
from torch import Tensor

from nnunetv2_dycon.losses.label_space import Classes, LabelSpace, Regions
from nnunetv2_dycon.losses.segmentation import dice_and_cross_entropy

LABEL_SPACES = [Classes(), Regions()]


def logits(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (3 * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype)


def classes(*shape: int, num_classes: int, seed: int = 3) -> Tensor:
    return torch.randint(num_classes, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.int16)


@pytest.mark.parametrize("batch_dice", [False, True])
@pytest.mark.parametrize("shape", [(2, 4, 5, 4, 3), (3, 2, 6, 5)])
def test_classes_equal_nnunets_loss_plus_one(shape: tuple[int, ...], batch_dice: bool) -> None:
    values, target = logits(*shape), classes(shape[0], 1, *shape[2:], num_classes=shape[1])
    mask = logits(shape[0], 1, *shape[2:], seed=1) > 0
    ignore_label = shape[1]
    soft_dice = {"batch_dice": batch_dice, "smooth": 1e-5, "do_bg": False, "ddp": False}
    nnunet = DC_and_CE_loss(soft_dice, {}, ignore_label=ignore_label, dice_class=MemoryEfficientSoftDiceLoss)
    losses = dice_and_cross_entropy(values, target, [mask, ~mask], batch_dice=batch_dice)
    for loss, counted in zip(losses, (mask, ~mask), strict=True):
        expected = nnunet(values, torch.where(counted, target, ignore_label).long()) + 1
        assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("batch_dice", [False, True])
def test_regions_equal_nnunets_loss_plus_one(batch_dice: bool) -> None:
    values, target = logits(2, 3, 5, 4, 3), logits(2, 3, 5, 4, 3, seed=2) > 0
    mask = logits(2, 1, 5, 4, 3, seed=1) > 0
    soft_dice = {"batch_dice": batch_dice, "smooth": 1e-5, "do_bg": True, "ddp": False}
    nnunet = DC_and_BCE_loss({}, soft_dice, use_ignore_label=True)
    (loss,) = dice_and_cross_entropy(values, target, [mask], labels=Regions(), batch_dice=batch_dice)
    # DC_and_BCE_loss divides its sum over regions and voxels by the number of voxels.
    bce = torch.nn.functional.binary_cross_entropy_with_logits(values, target.double(), reduction="none")
    surplus = 2 / 3 * (bce * mask).sum() / mask.sum()
    expected = nnunet(values, torch.cat([target, ~mask], dim=1)) + 1 - surplus
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_by_hand() -> None:
    # Voxels in a row: foreground probabilities 0.8, 0.4 and, outside the mask, 0.5.
    foreground = torch.tensor([0.8, 0.4, 0.5], dtype=torch.float64)
    values = torch.stack([(1 - foreground).log(), foreground.log()])[None, :, :, None]
    target = torch.tensor([1, 0, 1]).view(1, 1, 3, 1)
    mask = torch.tensor([True, True, False]).view(1, 1, 3, 1)
    (loss,) = dice_and_cross_entropy(values, target, [mask])
    cross_entropy = -(math.log(0.8) + math.log(0.6)) / 2
    dice = 2 * 0.8 / (0.8 + 0.4 + 1)
    assert loss.item() == pytest.approx(1 - dice + cross_entropy, abs=1e-5)


@pytest.mark.parametrize("labels", LABEL_SPACES, ids=str)
def test_an_empty_mask_gives_exact_zeros(labels: LabelSpace) -> None:
    values = logits(2, 3, 4, 4).requires_grad_()
    target = logits(2, 3, 4, 4) > 0 if isinstance(labels, Regions) else classes(2, 1, 4, 4, num_classes=3)
    (loss,) = dice_and_cross_entropy(values, target, [torch.zeros(2, 1, 4, 4).bool()], labels=labels)
    loss.backward()
    assert loss.item() == 0
    assert not values.grad.any()


@pytest.mark.parametrize("labels", LABEL_SPACES, ids=str)
@pytest.mark.parametrize("batch_dice", [False, True])
def test_what_lies_outside_the_mask_does_not_matter(labels: LabelSpace, batch_dice: bool) -> None:
    mask = logits(2, 1, 4, 4, seed=1) > 0
    target = logits(2, 3, 4, 4) > 0 if isinstance(labels, Regions) else classes(2, 1, 4, 4, num_classes=3)
    # An ignore label lies beyond the classes.
    other_target = torch.where(mask, target, ~target if isinstance(labels, Regions) else 3)
    values = logits(2, 3, 4, 4).requires_grad_()
    options = {"labels": labels, "batch_dice": batch_dice}
    (loss,) = dice_and_cross_entropy(values, target, [mask], **options)
    loss.backward()
    (other,) = dice_and_cross_entropy(torch.where(mask, values, -values), other_target, [mask], **options)
    assert other.item() == loss.item()
    assert torch.equal(values.grad.any(1, keepdim=True), mask)


@pytest.mark.parametrize("labels", LABEL_SPACES, ids=str)
def test_gradient(labels: LabelSpace) -> None:
    mask = logits(2, 1, 3, 3, seed=1) > 0
    target = logits(2, 3, 3, 3, seed=2) > 0 if isinstance(labels, Regions) else classes(2, 1, 3, 3, num_classes=3)
    values = logits(2, 3, 3, 3).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda leaf: tuple(dice_and_cross_entropy(leaf, target, [mask, ~mask], labels=labels)), values
    )


@pytest.mark.parametrize("labels", LABEL_SPACES, ids=str)
def test_half_precision_under_autocast_is_computed_in_float32(labels: LabelSpace) -> None:
    values = logits(2, 3, 8, 8, dtype=torch.bfloat16)
    mask = logits(2, 1, 8, 8, seed=1) > 0
    target = logits(2, 3, 8, 8, seed=2) > 0 if isinstance(labels, Regions) else classes(2, 1, 8, 8, num_classes=3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (loss,) = dice_and_cross_entropy(values, target, [mask], labels=labels)
    assert loss.dtype == torch.float32
    (expected,) = dice_and_cross_entropy(values.double(), target, [mask], labels=labels)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_shapes_that_do_not_match_are_refused() -> None:
    values, target, mask = logits(2, 3, 4, 4), classes(2, 1, 4, 4, num_classes=3), torch.ones(2, 1, 4, 4).bool()
    with pytest.raises(ValueError, match="target"):
        dice_and_cross_entropy(values, target, [mask], labels=Regions())
    with pytest.raises(ValueError, match="target"):
        dice_and_cross_entropy(values, target[..., :3], [mask])
    with pytest.raises(ValueError, match="mask"):
        dice_and_cross_entropy(values, target, [mask[:, 0]])


@pytest.mark.parametrize("labels", LABEL_SPACES, ids=str)
def test_nothing_waits_for_the_device(labels: LabelSpace) -> None:
    # A tensor on the meta device has no values: whatever asks for one raises.
    values = torch.empty(2, 3, 4, 4, 4, device="meta", requires_grad=True)
    target = torch.empty(2, 3 if isinstance(labels, Regions) else 1, 4, 4, 4, device="meta", dtype=torch.int16)
    mask = torch.empty(2, 1, 4, 4, 4, device="meta", dtype=torch.bool)
    sum(dice_and_cross_entropy(values, target, [mask, ~mask], labels=labels)).backward()
