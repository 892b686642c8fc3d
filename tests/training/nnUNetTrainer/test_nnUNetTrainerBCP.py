"""The mixed patches of nnUNetTrainerBCP and their target."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import Tensor

from nnunetv2_dycon.losses.segmentation import dice_and_cross_entropy
from nnunetv2_dycon.training.network.network_output import NetworkOutput
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerBCP import nnUNetTrainerBCP

if TYPE_CHECKING:
    from tests.conftest import Workspace

PATCH = (6, 8, 4)
CHANNELS, CLASSES, IGNORE = 3, 3, 3


@pytest.fixture
def make_bcp(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]) -> Callable[..., nnUNetTrainerBCP]:
    """A function that makes a trainer with or without regions and ignore label; the demo has two foreground classes."""

    def make(*, regions: bool = False, ignores: bool = False, **settings: object) -> nnUNetTrainerBCP:
        workspace.write_labels(regions=regions, ignores=ignores)
        plans = workspace.read_plans()
        settings = {"warmup_fraction": 0, "rampup_fraction": 0, **settings}
        plans["configurations"]["3d_fullres"]["bcp"] = settings
        workspace.write_plans(plans, "nnUNetPlansBCP")
        trainer = make_trainer(nnUNetTrainerBCP, "nnUNetPlansBCP")
        assert trainer.label_manager.ignore_label == (IGNORE if ignores else None)
        return trainer

    return make


def labeled_batch(size: int, target_channels: int, num_values: int) -> tuple[Tensor, Tensor]:
    """Positive images, so that they cannot be taken for unlabeled ones, and random targets."""
    data = torch.rand(size, CHANNELS, *PATCH)
    target = torch.randint(num_values, (size, target_channels, *PATCH), dtype=torch.int16)
    return data, target.bool() if num_values == 2 else target


def mix(trainer: nnUNetTrainerBCP, data: Tensor, target: Tensor, batch: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mix a random unlabeled batch; returns it, its teacher's logits, the mixed patches and what comes with them."""
    strong = -1 - torch.rand(batch, CHANNELS, *PATCH)
    heads = trainer.label_manager.num_segmentation_heads
    logits = torch.randn(batch, heads, *PATCH)
    mixed, output = trainer.student_view(strong, NetworkOutput(logits, None), data, target)
    return strong, logits, mixed, output


def partner_of(patch: Tensor, labeled: Tensor, data: Tensor) -> int:
    """The labeled patch that a mixed one shows; exactly one fits."""
    (found,) = [index for index, other in enumerate(data) if torch.equal(patch * labeled, other * labeled)]
    return found


@pytest.mark.parametrize(("batch", "labeled_size"), [(2, 2), (4, 3), (1, 2)])
def test_patches_are_mixed_in_both_directions_and_all_channels(
    make_bcp: Callable[..., nnUNetTrainerBCP], batch: int, labeled_size: int
) -> None:
    trainer = make_bcp()
    data, target = labeled_batch(labeled_size, 1, CLASSES)
    boxes = set()
    for _ in range(10):
        strong, _, mixed, output = mix(trainer, data, target, batch)
        assert torch.equal(output.labeled.expand_as(mixed), mixed > 0)
        assert torch.equal(mixed * ~output.labeled, strong * ~output.labeled)
        for patch, labeled in zip(mixed, output.labeled, strict=True):
            partner_of(patch, labeled, data)
        boxes |= {labeled.sum().item() for labeled in output.labeled}
    # 2/3 of each axis: a box of 4 x 5 x 3 voxels in a patch of 6 x 8 x 4, or all but that box.
    assert boxes == {60, 192 - 60}


@pytest.mark.parametrize("ignores", [False, True])
def test_the_target_of_classes_voxel_by_voxel(make_bcp: Callable[..., nnUNetTrainerBCP], ignores: bool) -> None:
    trainer = make_bcp(ignores=ignores)
    data, target = labeled_batch(2, 1, CLASSES + ignores)
    _, logits, mixed, output = mix(trainer, data, target, 4)
    assert output.output.shape == (4, 1, *PATCH)
    assert output.output.dtype == target.dtype
    for index in range(4):
        partner = partner_of(mixed[index], output.labeled[index], data)
        for place in torch.ones(PATCH).nonzero().tolist():
            voxel = (slice(None), *place)
            truth, pseudo_label = target[partner][voxel], logits[index][voxel].argmax()
            expected = truth if output.labeled[index][voxel] else pseudo_label
            assert output.output[index][voxel] == expected


@pytest.mark.parametrize("ignores", [False, True])
def test_the_target_of_regions_voxel_by_voxel(make_bcp: Callable[..., nnUNetTrainerBCP], ignores: bool) -> None:
    trainer = make_bcp(regions=True, ignores=ignores)
    data, target = labeled_batch(2, 2 + ignores, 2)
    _, logits, mixed, output = mix(trainer, data, target, 4)
    assert output.output.shape == (4, 2 + ignores, *PATCH)
    assert output.output.dtype == target.dtype
    for index in range(4):
        partner = partner_of(mixed[index], output.labeled[index], data)
        for place in torch.ones(PATCH).nonzero().tolist():
            voxel = (slice(None), *place)
            pseudo_label = (logits[index][voxel] > 0).tolist() + [False] * ignores
            expected = target[partner][voxel].tolist() if output.labeled[index][voxel] else pseudo_label
            assert output.output[index][voxel].tolist() == expected


@pytest.mark.parametrize("regions", [False, True])
def test_ignored_voxels_do_not_count_and_all_others_do(
    make_bcp: Callable[..., nnUNetTrainerBCP], regions: bool
) -> None:
    trainer = make_bcp(regions=regions, ignores=True)
    data, target = labeled_batch(2, 3, 2) if regions else labeled_batch(2, 1, CLASSES + 1)
    output = mix(trainer, data, target, 2)[3]
    ignored = (output.output[:, -1:] if regions else output.output == IGNORE) & output.labeled
    student = torch.randn(2, 2 if regions else 3, *PATCH, requires_grad=True)
    trainer.unlabeled_losses(NetworkOutput(student, None), output)["bcp"].backward()
    assert ignored.any()
    assert torch.equal(student.grad.any(1, keepdim=True), ~ignored)


@pytest.mark.parametrize("batch_dice", [False, True])
def test_the_loss_weights_the_unlabeled_region(make_bcp: Callable[..., nnUNetTrainerBCP], batch_dice: bool) -> None:
    trainer = make_bcp(unlabeled_region_weight=0.25)
    trainer.configuration_manager.configuration["batch_dice"] = batch_dice
    data, target = labeled_batch(2, 1, CLASSES)
    output = mix(trainer, data, target, 2)[3]
    student = torch.randn(2, 3, *PATCH)
    loss = trainer.unlabeled_losses(NetworkOutput([student, student[..., ::2]], None), output)["bcp"]
    masks = [output.labeled, ~output.labeled]
    labeled, unlabeled = dice_and_cross_entropy(student, output.output, masks, batch_dice=batch_dice)
    assert loss.item() == pytest.approx((labeled + 0.25 * unlabeled).item())
    means = trainer.statistics.pop_means()
    assert means["labeled_region_loss"] == pytest.approx(labeled.item())
    assert means["unlabeled_region_loss"] == pytest.approx(unlabeled.item())


def test_largest_components_are_a_setting(make_bcp: Callable[..., nnUNetTrainerBCP]) -> None:
    logits = torch.full((1, 3, *PATCH), -5.0)
    logits[:, 0] = 0
    logits[:, 1, :3] = 5
    logits[:, 2, 5, 0, 0] = 5
    logits[:, 1, 5, 7, 3] = 5
    data, target = torch.rand(1, CHANNELS, *PATCH), torch.zeros(1, 1, *PATCH, dtype=torch.int16)
    fractions = {}
    for largest_component in (False, True):
        trainer = make_bcp(largest_component=largest_component, box_fraction=0.01)
        trainer.student_view(-data, NetworkOutput(logits, None), data, target)
        fractions[largest_component] = trainer.statistics.pop_means()["pseudo_foreground_fraction"]
    assert fractions[False] == pytest.approx((3 * 32 + 2) / 192)
    assert fractions[True] == pytest.approx((3 * 32 + 1) / 192)


def test_the_student_sees_mixed_patches_and_then_the_labeled_batch(make_bcp: Callable[..., nnUNetTrainerBCP]) -> None:
    trainer = make_bcp()
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


def test_nothing_waits_for_the_device(make_bcp: Callable[..., nnUNetTrainerBCP]) -> None:
    # A tensor on the meta device has no values: whatever asks for one raises.
    trainer = make_bcp(ignores=True)
    data = torch.empty(2, CHANNELS, *PATCH, device="meta")
    target = torch.empty(2, 1, *PATCH, device="meta", dtype=torch.int16)
    logits = torch.empty(2, CLASSES, *PATCH, device="meta")
    _, output = trainer.student_view(data, NetworkOutput(logits, None), data, target)
    trainer.unlabeled_losses(NetworkOutput(logits.clone().requires_grad_(), None), output)["bcp"].backward()
