"""The two views of a crop where a previous stage has segmented it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.random import RandomTransform
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.training.nnUNetTrainer.variants.data_augmentation.nnUNetTrainerDA5 import nnUNetTrainerDA5
from torch import Tensor

from nnunetv2_dycon.views.two_views import TwoViewsTransform
from tests.views.transforms import Add, coordinates, is_intensity, training_transforms, views


@pytest.fixture(autouse=True)
def _seeded() -> None:
    np.random.seed(0)  # noqa: NPY002 (batchgenerators draws from it)
    torch.manual_seed(0)


def cascade_views(transform: TwoViewsTransform) -> tuple[Tensor, Tensor]:
    """Of an image that shows each voxel's place along an axis, and 1 within the scan.

    The previous stage found two slabs, separated by background.
    """
    first = coordinates((24, 24, 24))[0]
    image = torch.stack([first, torch.ones_like(first)])
    previous_stage = (first > 8).short() - (first > 11).short() + 2 * (first > 14).short()
    return views(transform, image, torch.stack([torch.zeros_like(previous_stage), previous_stage]))


@pytest.mark.parametrize("trainer", [nnUNetTrainer, nnUNetTrainerDA5])
def test_of_a_cascade_the_weak_view_has_the_previous_stage_as_it_is_and_the_strong_view_damaged(
    trainer: type[nnUNetTrainer],
) -> None:
    transforms = training_transforms((16, 16, 16), foreground_labels=(1, 2), trainer=trainer)
    spatial = (SpatialTransform, MirrorTransform)
    later = [t for t in transforms.transforms if "OneHot" in repr(t) or "Binary" in repr(t)]
    assert len(later) == 3
    transforms.transforms = [t for t in transforms.transforms if isinstance(t, spatial)] + later
    for transform in later[1:]:
        transform.apply_probability = 1
    transform = TwoViewsTransform(transforms, 0)
    damaged = 0
    for _ in range(10):
        weak, strong = cascade_views(transform)
        assert weak.shape == strong.shape == (4, 16, 16, 16)
        assert torch.equal(weak[:2], strong[:2])
        inside = weak[1] > 0.999
        # Within half a voxel of a border, images and segmentations are interpolated to either side.
        for label, lower, upper in ((1, 8.5, 11.5), (2, 14.5, 100)):
            surely = inside & (weak[0] > lower + 0.6) & (weak[0] < upper - 0.6)
            surely_not = inside & ((weak[0] < lower - 0.6) | (weak[0] > upper + 0.6))
            assert (weak[1 + label][surely] == 1).all()
            assert (weak[1 + label][surely_not] == 0).all()
        assert set(strong[2:].unique().tolist()) <= {0, 1}
        damaged += not torch.equal(weak[2:], strong[2:])
    assert damaged > 0


def test_of_a_cascade_intensity_transforms_leave_the_previous_stage_alone() -> None:
    transforms = training_transforms((16, 16, 16), foreground_labels=(1, 2))
    transforms.transforms = [
        t for t in transforms.transforms if "Binary" not in repr(t) and "Random" not in repr(t)[:14]
    ]
    add = RandomTransform(Add(), 0)
    transforms.transforms.insert(1, add)
    weak, strong = cascade_views(TwoViewsTransform(transforms, 1))
    assert torch.equal(strong[:2], weak[:2] + 1)
    assert torch.equal(strong[2:], weak[2:])


def test_of_a_cascade_the_previous_stage_is_damaged_as_often_as_in_nnunet() -> None:
    transforms = training_transforms((8, 8, 8), foreground_labels=(1, 2))
    transform = TwoViewsTransform(transforms, 1)
    assert [t.apply_probability for t in transform.strong.transforms] == [1] * 7
    assert [t.apply_probability for t in transform.strong_previous_stage.transforms] == [0.4, 0.2]


def test_of_a_cascade_the_image_is_masked_and_the_previous_stage_is_not() -> None:
    transforms = training_transforms((8, 8, 8), use_mask_for_norm=[True], foreground_labels=(1,))
    transforms.transforms = [t for t in transforms.transforms if not is_intensity(t)]
    transform = TwoViewsTransform(transforms, 1)
    segmentation = torch.stack([torch.full((8, 8, 8), -1), torch.ones(8, 8, 8)]).short()
    for view in views(transform, torch.full((1, 8, 8, 8), 100.0), segmentation):
        assert (view[0] == 0).all()
        assert view[1].sum() > 0
