"""Blocks of a patch are found again in the crop that it came from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.training.nnUNetTrainer.variants.data_augmentation.nnUNetTrainerDA5 import nnUNetTrainerDA5
from torch.nn import functional

from nnunetv2_dycon.losses.label_space import Classes, Regions
from nnunetv2_dycon.views.locations import (
    block_grid,
    every_second_voxel,
    foreground_and_entropy,
    foreground_by_block,
    location_channels,
)
from nnunetv2_dycon.views.two_views import TwoViewsTransform


def of_nnunet(patch_size: tuple[int, ...], dummy_2d: bool = False) -> ComposeTransforms:
    axes = tuple(range(len(patch_size)))
    return nnUNetTrainer.get_training_transforms(patch_size, (-0.5, 0.5), None, axes, dummy_2d)


def of_da5(patch_size: tuple[int, ...]) -> ComposeTransforms:
    return nnUNetTrainerDA5.get_training_transforms(patch_size, (-0.5, 0.5), None, (0, 1, 2), False)


@pytest.mark.parametrize(
    ("transforms", "crop_size"),
    [
        (of_nnunet((24, 20)), (30, 28)),
        (of_nnunet((12, 40, 16)), (12, 40, 16)),
        (of_nnunet((6, 18, 34), dummy_2d=True), (6, 24, 40)),
        (of_da5((20, 20, 20)), (26, 26, 26)),
    ],
    ids=["2d", "3d", "rotated within slices", "other spatial transforms"],
)
def test_locations_go_where_the_image_goes(transforms: ComposeTransforms, crop_size: tuple[int, ...]) -> None:
    np.random.seed(0)  # noqa: NPY002 (batchgenerators draws from it)
    torch.manual_seed(0)
    for transform in transforms.transforms:
        if isinstance(transform, SpatialTransform):
            transform.p_rotation = transform.p_scaling = 0.8
    views = TwoViewsTransform(transforms, 0, crop_size)
    dim = len(crop_size)
    channels = location_channels(crop_size)
    pool = {2: functional.adaptive_avg_pool2d, 3: functional.adaptive_avg_pool3d}[dim]
    seen, outside = set(), 0
    for _ in range(10):
        result = views(image=channels.clone(), segmentation=torch.zeros(1, *crop_size, dtype=torch.int16))
        patch, locations = result["image"][: dim + 1], result["segmentation"]
        grid = block_grid(patch.shape[1:])
        assert locations.shape == (dim, *grid)
        pooled = pool(patch[None], grid)[0]
        inside = pooled[-1] > 0.999
        torch.testing.assert_close(locations[:, inside], pooled[:-1, inside], rtol=0, atol=0.05)
        assert not locations[:, pooled[-1] > 0.9].isnan().any()
        assert locations[:, pooled[-1] < 0.1].isnan().all()
        seen.add(tuple(locations[:, inside].flatten().tolist()))
        outside += int((pooled[-1] < 0.1).sum())
    assert len(seen) == 10
    assert outside > 0
    assert torch.equal(views.location_channels, channels)


def test_a_block_partly_outside_of_the_crop_is_where_its_inside_is() -> None:
    transforms = of_nnunet((32, 32))
    transforms.transforms = []
    views = TwoViewsTransform(transforms, 0, (32, 32))
    views.location_channels[:, 1:] = torch.where(torch.arange(31)[:, None] < 24, views.location_channels[:, 1:], 0)
    locations = views(image=torch.zeros(1, 32, 32), segmentation=torch.zeros(1, 32, 32))["segmentation"]
    # Rows 24 and 25 are a block: the first is inside.
    assert locations[:, 12, 3].tolist() == [24, 6.5]
    assert locations[:, 13].isnan().all()


@pytest.mark.parametrize(("patch_size", "grid"), [((128, 20, 16), (16, 16, 16)), ((7, 256), (7, 16))])
def test_a_patch_has_at_most_16_blocks_along_each_axis(patch_size: tuple[int, ...], grid: tuple[int, ...]) -> None:
    assert block_grid(patch_size) == grid


@pytest.mark.parametrize("size", [(32, 20, 8), (40, 33)])
def test_one_voxel_of_a_class_makes_its_block_foreground(size: tuple[int, ...]) -> None:
    logits = torch.zeros(2, 3, *size)
    logits[:, 0] = 1
    logits[1, 2][(-1,) * len(size)] = 2
    blocks = foreground_by_block(logits, Classes())
    assert blocks.shape == (2, 2, *block_grid(size))
    assert (blocks > 0).sum() == 1
    assert blocks[1, 1][(-1,) * len(size)] == torch.tensor([1.0, 0, 2]).softmax(0)[2]


def test_the_most_certain_voxel_of_a_block_counts() -> None:
    logits = torch.zeros(1, 2, 32, 32)
    logits[0, 1] = torch.linspace(1, 5, 32)
    assert torch.allclose(foreground_by_block(logits, Classes())[0, 0], logits[0].softmax(0)[1, ::2, 1::2])


def test_regions_may_lie_in_the_same_block() -> None:
    logits = torch.full((1, 2, 4, 4), -1.0)
    logits[0, :, 1, 2] = 1
    blocks = foreground_by_block(logits.half(), Regions())
    assert blocks[0].nonzero().tolist() == [[0, 1, 2], [1, 1, 2]]
    assert torch.equal(blocks[0, :, 1, 2], torch.ones(2).sigmoid())


@pytest.mark.parametrize("convert", [torch.Tensor.half, torch.Tensor.bfloat16])
def test_half_precision(convert: Callable[[torch.Tensor], torch.Tensor]) -> None:
    logits = torch.randn(1, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    logits = convert(logits)
    blocks = foreground_by_block(logits, Classes())
    assert blocks.dtype == torch.float32
    assert torch.equal(blocks, foreground_by_block(logits.float(), Classes()))


@pytest.mark.parametrize("patch_size", [(4, 6), (1, 4, 6)], ids=["2d", "3d"])
@pytest.mark.parametrize("labels", [Classes(), Regions()], ids=["classes", "regions"])
def test_foreground_and_entropy_are_means_of_patches(labels: Classes | Regions, patch_size: tuple[int, ...]) -> None:
    """One patch that is all background, and one whose left half is foreground."""
    logits = torch.zeros(2, 3, *patch_size)
    logits[:, 0] = 0.0 if labels.overlapping else 40.0
    logits[:, 0] -= 40.0 if labels.overlapping else 0.0
    logits[:, 1:] -= 40.0
    logits[1, 2, ..., :3] = 80.0
    fraction, entropy = foreground_and_entropy(logits, labels)
    # Every second of six voxels: 0, 2 and 4.
    assert fraction.tolist() == pytest.approx([0, 2 / 3])
    assert entropy.item() == pytest.approx(0, abs=1e-6)
    _, entropy = foreground_and_entropy(torch.zeros(2, 3, *patch_size), labels)
    assert entropy.item() == pytest.approx(3 * np.log(2) if labels.overlapping else np.log(3))


def test_every_second_voxel() -> None:
    values = torch.arange(2 * 5 * 4).view(1, 2, 5, 4)
    assert every_second_voxel(values).tolist() == [[[[0, 2], [8, 10], [16, 18]], [[20, 22], [28, 30], [36, 38]]]]
