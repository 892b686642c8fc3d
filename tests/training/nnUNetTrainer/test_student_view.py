"""The student's view of nnUNetTrainerDyCON: unlabeled and labeled patches mixed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import Tensor

from nnunetv2_dycon.training.network.network_output import NetworkOutput
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerDyCON import nnUNetTrainerDyCON

if TYPE_CHECKING:
    from tests.conftest import Workspace

PATCH = (6, 8, 4)
IGNORE = 3


@pytest.fixture
def make_dycon(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]) -> Callable[..., nnUNetTrainerDyCON]:
    def make(*, regions: bool = False, ignores: bool = False, **settings: object) -> nnUNetTrainerDyCON:
        workspace.write_labels(regions=regions, ignores=ignores)
        workspace.write_settings("nnUNetPlansView", **{"copy_paste_fraction": 0.5, **settings})
        return make_trainer(nnUNetTrainerDyCON, "nnUNetPlansView")

    return make


def mix(trainer: nnUNetTrainerDyCON, target: Tensor, batch: int = 2) -> tuple[Tensor, Tensor, NetworkOutput]:
    """Mix unlabeled patches, whose voxels are all -1, with labeled ones, whose voxels are all 1."""
    logits = torch.randn(batch, trainer.label_manager.num_segmentation_heads, *PATCH)
    teacher = NetworkOutput(logits, torch.zeros(batch, 1, 1, 1, 1))
    mixed, output = trainer.student_view(-torch.ones(batch, 1, *PATCH), teacher, torch.ones(2, 1, *PATCH), target)
    assert output.bottleneck is teacher.bottleneck
    return logits, mixed, output


def test_a_labeled_box_is_pasted_into_each_unlabeled_patch(make_dycon: Callable[..., nnUNetTrainerDyCON]) -> None:
    _, mixed, output = mix(make_dycon(), torch.zeros(2, 1, *PATCH))
    assert torch.equal(mixed > 0, output.labeled)
    # Half of each axis: a box of 3 x 4 x 2 voxels in a patch of 6 x 8 x 4.
    assert (mixed > 0).flatten(1).sum(1).tolist() == [24, 24]


def test_a_fraction_of_zero_leaves_the_patches_alone(make_dycon: Callable[..., nnUNetTrainerDyCON]) -> None:
    logits, mixed, output = mix(make_dycon(copy_paste_fraction=0), torch.zeros(2, 1, *PATCH))
    assert (mixed == -1).all()
    assert output.output is logits
    assert output.labeled is None


def test_the_reference_takes_the_teachers_place_where_the_labeled_patch_is_seen(
    make_dycon: Callable[..., nnUNetTrainerDyCON],
) -> None:
    # Both labeled patches have the same labels, so that it does not matter which is whose partner.
    target = torch.randint(-1, 3, (1, 1, *PATCH)).expand(2, -1, -1, -1, -1)
    logits, _, output = mix(make_dycon(), target)
    labeled = output.labeled.expand_as(logits)
    assert torch.equal(output.logits[~labeled], logits[~labeled])
    one_hot = torch.nn.functional.one_hot(target[:, 0].clamp_min(0), 3).movedim(-1, 1).float()
    torch.testing.assert_close(output.logits.softmax(1)[labeled], one_hot[labeled])
    assert output.ignored is None


def test_regions(make_dycon: Callable[..., nnUNetTrainerDyCON]) -> None:
    target = (torch.rand(1, 3, *PATCH) < 0.5).expand(2, -1, -1, -1, -1)
    _, _, output = mix(make_dycon(regions=True, ignores=True), target)
    labeled = output.labeled.expand(-1, 2, -1, -1, -1)
    torch.testing.assert_close(output.logits.sigmoid()[labeled], target[:, :-1][labeled].float())
    assert torch.equal(output.ignored, output.labeled & target[:, -1:])


def test_ignored_voxels_of_the_labeled_patch_change_nothing(make_dycon: Callable[..., nnUNetTrainerDyCON]) -> None:
    trainer = make_dycon(ignores=True, warmup_fraction=0, rampup_fraction=0, fecl_weight=0)
    trainer.initialize()
    target = torch.where(torch.rand(1, 1, *PATCH) < 0.3, IGNORE, 1).expand(2, -1, -1, -1, -1)
    _, _, output = mix(trainer, target)
    assert output.ignored.any()
    student = torch.randn_like(output.logits)
    other = torch.where(output.ignored, torch.randn_like(student), student)
    losses = [trainer.unlabeled_losses(NetworkOutput(values, None), output)["uncl"] for values in (student, other)]
    torch.testing.assert_close(*losses)
    seen = torch.where(output.labeled & ~output.ignored, torch.randn_like(student), student)
    assert trainer.unlabeled_losses(NetworkOutput(seen, None), output)["uncl"] != losses[0]


@pytest.mark.parametrize("regions", [False, True])
def test_nothing_waits_for_the_device(make_dycon: Callable[..., nnUNetTrainerDyCON], regions: bool) -> None:
    # A tensor on the meta device has no values: whatever asks for one raises.
    trainer = make_dycon(regions=regions, ignores=True)
    strong, data = torch.empty(2, 2, 1, *PATCH, device="meta").unbind()
    logits = torch.empty(2, trainer.label_manager.num_segmentation_heads, *PATCH, device="meta")
    target = torch.empty(2, 3 if regions else 1, *PATCH, device="meta")
    _, teacher = trainer.student_view(strong, NetworkOutput(logits, None), data, target)
    assert teacher.logits.shape == logits.shape
