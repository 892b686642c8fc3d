"""The mixed patches of BCP and their target."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import Tensor

from nnunetv2_dycon.losses.label_space import Classes, Regions
from nnunetv2_dycon.losses.segmentation import dice_and_cross_entropy
from nnunetv2_dycon.methods.bcp import BCP, BCPSettings, MixedTask
from nnunetv2_dycon.methods.method import Guidance, LabeledBatch, Prediction
from nnunetv2_dycon.trainers import nnUNetTrainerBCP
from tests.conftest import Workspace
from tests.settings import FULL_WEIGHTS_AT_ONCE

PATCH = (6, 8, 4)
CHANNELS, CLASSES, IGNORE = 3, 3, 3


def make_bcp(*, regions: bool = False, ignores: bool = False, batch_dice: bool = False, **settings: object) -> BCP:
    """With or without regions and ignore label; there are two foreground classes or two regions."""
    labels = Regions(ignores) if regions else Classes(IGNORE if ignores else None)
    return BCP(BCPSettings(**settings), labels, batch_dice=batch_dice)


def labeled_batch(size: int, target_channels: int, num_values: int) -> tuple[Tensor, Tensor]:
    """Positive images, so that they cannot be taken for unlabeled ones, and random targets."""
    data = torch.rand(size, CHANNELS, *PATCH)
    target = torch.randint(num_values, (size, target_channels, *PATCH), dtype=torch.int16)
    return data, target.bool() if num_values == 2 else target


def mix(bcp: BCP, data: Tensor, target: Tensor, batch: int) -> tuple[Tensor, Tensor, MixedTask]:
    """Mix a random unlabeled batch; returns it, its teacher's logits and the task."""
    strong = -1 - torch.rand(batch, CHANNELS, *PATCH)
    logits = torch.randn(batch, 2 if isinstance(bcp.labels, Regions) else CLASSES, *PATCH)
    return strong, logits, bcp.task(strong, Guidance((Prediction(logits),)), LabeledBatch(data, target))


def partner_of(patch: Tensor, labeled: Tensor, data: Tensor) -> int:
    """The labeled patch that a mixed one shows; exactly one fits."""
    (found,) = [index for index, other in enumerate(data) if torch.equal(patch * labeled, other * labeled)]
    return found


@pytest.mark.parametrize(("batch", "labeled_size"), [(2, 2), (4, 3), (1, 2)])
def test_patches_are_mixed_in_both_directions_and_all_channels(batch: int, labeled_size: int) -> None:
    bcp = make_bcp()
    data, target = labeled_batch(labeled_size, 1, CLASSES)
    boxes = set()
    for _ in range(10):
        strong, _, task = mix(bcp, data, target, batch)
        mixed = task.patches
        assert torch.equal(task.labeled.expand_as(mixed), mixed > 0)
        assert torch.equal(mixed * ~task.labeled, strong * ~task.labeled)
        for patch, labeled in zip(mixed, task.labeled, strict=True):
            partner_of(patch, labeled, data)
        boxes |= {labeled.sum().item() for labeled in task.labeled}
    # 2/3 of each axis: a box of 4 x 5 x 3 voxels in a patch of 6 x 8 x 4, or all but that box.
    assert boxes == {60, 192 - 60}


@pytest.mark.parametrize("ignores", [False, True])
def test_the_target_of_classes_voxel_by_voxel(ignores: bool) -> None:
    bcp = make_bcp(ignores=ignores)
    data, target = labeled_batch(2, 1, CLASSES + ignores)
    _, logits, task = mix(bcp, data, target, 4)
    mixed = task.patches
    assert task.target.shape == (4, 1, *PATCH)
    assert task.target.dtype == target.dtype
    for index in range(4):
        partner = partner_of(mixed[index], task.labeled[index], data)
        for place in torch.ones(PATCH).nonzero().tolist():
            voxel = (slice(None), *place)
            truth, pseudo_label = target[partner][voxel], logits[index][voxel].argmax()
            expected = truth if task.labeled[index][voxel] else pseudo_label
            assert task.target[index][voxel] == expected


@pytest.mark.parametrize("ignores", [False, True])
def test_the_target_of_regions_voxel_by_voxel(ignores: bool) -> None:
    bcp = make_bcp(regions=True, ignores=ignores)
    data, target = labeled_batch(2, 2 + ignores, 2)
    _, logits, task = mix(bcp, data, target, 4)
    mixed = task.patches
    assert task.target.shape == (4, 2 + ignores, *PATCH)
    assert task.target.dtype == target.dtype
    for index in range(4):
        partner = partner_of(mixed[index], task.labeled[index], data)
        for place in torch.ones(PATCH).nonzero().tolist():
            voxel = (slice(None), *place)
            pseudo_label = (logits[index][voxel] > 0).tolist() + [False] * ignores
            expected = target[partner][voxel].tolist() if task.labeled[index][voxel] else pseudo_label
            assert task.target[index][voxel].tolist() == expected


@pytest.mark.parametrize("regions", [False, True])
def test_ignored_voxels_do_not_count_and_all_others_do(regions: bool) -> None:
    bcp = make_bcp(regions=regions, ignores=True)
    data, target = labeled_batch(2, 3, 2) if regions else labeled_batch(2, 1, CLASSES + 1)
    task = mix(bcp, data, target, 2)[2]
    ignored = (task.target[:, -1:] if regions else task.target == IGNORE) & task.labeled
    student = torch.randn(2, 2 if regions else 3, *PATCH, requires_grad=True)
    bcp.unlabeled_losses(Prediction(student), task, 0.5).terms["bcp"].backward()
    assert ignored.any()
    assert torch.equal(student.grad.any(1, keepdim=True), ~ignored)


@pytest.mark.parametrize("batch_dice", [False, True])
def test_the_loss_weights_the_unlabeled_region(batch_dice: bool) -> None:
    bcp = make_bcp(unlabeled_region_weight=0.25, batch_dice=batch_dice)
    data, target = labeled_batch(2, 1, CLASSES)
    task = mix(bcp, data, target, 2)[2]
    student = torch.randn(2, 3, *PATCH)
    losses = bcp.unlabeled_losses(Prediction([student, student[..., ::2]]), task, 0.5)
    masks = [task.labeled, ~task.labeled]
    labeled, unlabeled = dice_and_cross_entropy(student, task.target, masks, batch_dice=batch_dice)
    assert losses.terms["bcp"].item() == pytest.approx((labeled + 0.25 * unlabeled).item())
    assert losses.statistics["labeled_region_loss"].item() == pytest.approx(labeled.item())
    assert losses.statistics["unlabeled_region_loss"].item() == pytest.approx(unlabeled.item())


def test_largest_components_are_a_setting() -> None:
    logits = torch.full((1, 3, *PATCH), -5.0)
    logits[:, 0] = 0
    logits[:, 1, :3] = 5
    logits[:, 2, 5, 0, 0] = 5
    logits[:, 1, 5, 7, 3] = 5
    data, target = torch.rand(1, CHANNELS, *PATCH), torch.zeros(1, 1, *PATCH, dtype=torch.int16)
    fractions = {}
    for largest_component in (False, True):
        bcp = make_bcp(largest_component=largest_component, box_fraction=0.01)
        task = bcp.task(-data, Guidance((Prediction(logits),)), LabeledBatch(data, target))
        losses = bcp.unlabeled_losses(Prediction(logits), task, 0.5)
        fractions[largest_component] = losses.statistics["pseudo_foreground_fraction"].item()
    assert fractions[False] == pytest.approx((3 * 32 + 2) / 192)
    assert fractions[True] == pytest.approx((3 * 32 + 1) / 192)


def test_the_student_sees_mixed_patches_and_then_the_labeled_batch(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]
) -> None:
    plans = workspace.read_plans()
    plans["configurations"]["3d_fullres"]["bcp"] = FULL_WEIGHTS_AT_ONCE
    workspace.write_plans(plans, "nnUNetPlansBCP")
    trainer = make_trainer(nnUNetTrainerBCP, "nnUNetPlansBCP")
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    batch = next(trainer.unlabeled_stream)
    trainer.unlabeled_stream = iter([batch])
    strong = batch["data"].chunk(2, dim=1)[1]
    seen = []
    trainer.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    labeled = next(trainer.dataloader_train)
    trainer.train_step(labeled)
    mixed, plain = seen
    assert torch.equal(plain, labeled["data"])
    from_labeled = (mixed[:, None] == plain[None]).any(1)
    assert (from_labeled | (mixed == strong)).all()
    shares = sorted(from_labeled.float().mean((1, 2, 3, 4)).tolist())
    assert shares[0] < 0.5 < shares[1]


def test_nothing_waits_for_the_device() -> None:
    # A tensor on the meta device has no values: whatever asks for one raises.
    bcp = make_bcp(ignores=True)
    data = torch.empty(2, CHANNELS, *PATCH, device="meta")
    target = torch.empty(2, 1, *PATCH, device="meta", dtype=torch.int16)
    logits = torch.empty(2, CLASSES, *PATCH, device="meta")
    task = bcp.task(data, Guidance((Prediction(logits),)), LabeledBatch(data, target))
    bcp.unlabeled_losses(Prediction(logits.clone().requires_grad_()), task, 0.5).terms["bcp"].backward()
