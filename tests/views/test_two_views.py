"""The two views of a crop differ by intensity only."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.rot90 import Rot90Transform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.pseudo2d import Convert3DTo2DTransform
from batchgeneratorsv2.transforms.utils.random import OneOfTransform, RandomTransform
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.training.nnUNetTrainer.variants.data_augmentation.nnUNetTrainerDA5 import nnUNetTrainerDA5
from torch import Tensor

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.views.two_views import TwoViewsTransform
from tests.views.transforms import Add, coordinates, is_intensity, training_transforms, views

PATCH_SIZE = {2: (24, 20), 3: (12, 20, 16)}
PROBABILITIES = [0.1, 0.2, 0.15, 0.15, 0.25, 0.1, 0.3]  # nnU-Net's


@pytest.fixture(autouse=True)
def _seeded() -> None:
    np.random.seed(0)  # noqa: NPY002 (batchgenerators draws from it)
    torch.manual_seed(0)


def draw(transform: TwoViewsTransform, image: Tensor, count: int = 10) -> Iterator[tuple[Tensor, Tensor]]:
    return (views(transform, image) for _ in range(count))


@pytest.mark.parametrize("dim", [2, 3])
def test_without_intensity_transforms_the_views_are_equal(dim: int) -> None:
    transforms = training_transforms(PATCH_SIZE[dim])
    transforms.transforms = [t for t in transforms.transforms if not is_intensity(t)]
    image = coordinates(tuple(n + 10 for n in PATCH_SIZE[dim]))
    crops = []
    for weak, strong in draw(TwoViewsTransform(transforms, 0.5), image):
        assert weak.shape == (dim, *PATCH_SIZE[dim])
        assert torch.equal(weak, strong)
        crops.append(weak)
    assert all(not torch.equal(first, second) for first, second in itertools.pairwise(crops))


@pytest.mark.parametrize("dim", [2, 3])
def test_a_factor_on_the_intensity_is_all_that_brightness_changes(dim: int) -> None:
    transforms = training_transforms(PATCH_SIZE[dim])
    brightness = RandomTransform(MultiplicativeBrightnessTransform((2, 3), False, 1), 0)
    transforms.transforms = [brightness, *(t for t in transforms.transforms if not is_intensity(t))]
    for weak, strong in draw(TwoViewsTransform(transforms, 1), coordinates(PATCH_SIZE[dim])):
        for weak_channel, strong_channel in zip(weak, strong, strict=True):
            factor = strong_channel.sum() / weak_channel.sum()
            assert 2 <= factor <= 3
            torch.testing.assert_close(strong_channel, factor * weak_channel)


@pytest.mark.parametrize("dim", [2, 3])
def test_with_all_intensity_transforms_each_voxel_still_shows_the_same_place(dim: int) -> None:
    image = coordinates(PATCH_SIZE[dim])
    image = (image - image.mean()) / image.std()
    for weak, strong in draw(TwoViewsTransform(training_transforms(PATCH_SIZE[dim]), 1), image):
        assert not torch.equal(weak, strong)
        for weak_channel, strong_channel in zip(weak, strong, strict=True):
            pair = torch.stack([weak_channel.flatten(), strong_channel.flatten()])
            assert torch.corrcoef(pair)[0, 1] > 0.85


def test_the_weak_view_has_no_intensity_transform() -> None:
    transforms = training_transforms((8, 8, 8))
    transforms.transforms = [t for t in transforms.transforms if not isinstance(t, SpatialTransform)]
    image = torch.randn(1, 8, 8, 8)
    transform = TwoViewsTransform(transforms, 1)
    transform.spatial = ComposeTransforms([])
    weak, strong = views(transform, image)
    assert torch.equal(weak, image)
    assert not torch.equal(strong, image)


@pytest.mark.parametrize("axes", [(0,), (1, 2), None])
def test_mirroring_axes_are_those_of_the_trainer(axes: tuple[int, ...] | None) -> None:
    transforms = nnUNetTrainer.get_training_transforms(PATCH_SIZE[3], (0, 0), None, axes, False)
    transforms.transforms = [t for t in transforms.transforms if isinstance(t, MirrorTransform)]
    image = coordinates(PATCH_SIZE[3])
    mirrored = set()
    for weak, strong in draw(TwoViewsTransform(transforms, 0.5), image, count=30):
        assert torch.equal(weak, strong)
        mirrored |= {axis for axis in range(3) if weak[axis].flatten()[0] != 1}
    assert mirrored == set(axes or ())


def test_outside_the_mask_both_views_are_0() -> None:
    size = PATCH_SIZE[3]
    segmentation = torch.full((1, *size), -1, dtype=torch.int16)
    segmentation[:, 3:9, 5:15, 4:12] = 0
    image = torch.full((2, *size), 100.0)
    transform = TwoViewsTransform(training_transforms(size, use_mask_for_norm=[True, False]), 1)
    for _ in range(5):
        weak, strong = views(transform, image, segmentation)
        inside = weak[0] != 0
        assert 0 < inside.sum() < inside.numel()
        assert torch.equal(strong[0] != 0, inside)
        assert (strong[1] != 0).all()
        assert (weak[0][inside] == weak[1][inside]).all()


@pytest.mark.parametrize("use_mask_for_norm", [[False], None])
def test_without_a_masked_channel_the_mask_does_nothing(use_mask_for_norm: list[bool] | None) -> None:
    transform = TwoViewsTransform(training_transforms((8, 8, 8), use_mask_for_norm=use_mask_for_norm), 1)
    outside = torch.full((1, 8, 8, 8), -1, dtype=torch.int16)
    for view in views(transform, torch.full((1, 8, 8, 8), 100.0), outside):
        assert view.abs().sum() > 0


def test_anisotropic_patches_are_rotated_within_their_slices() -> None:
    transforms = training_transforms((6, 16, 16), dummy_2d=True, mirror=False)
    transforms.transforms = [t for t in transforms.transforms if not is_intensity(t)]
    slices = torch.arange(1.0, 7)[:, None, None].expand(6, 16, 16)
    for weak, strong in draw(TwoViewsTransform(transforms, 0.5), coordinates((6, 30, 30))):
        assert torch.equal(weak, strong)
        torch.testing.assert_close(weak[0], slices)
        assert (weak[1].diff(dim=1) != 1).any()


@pytest.mark.parametrize(
    ("least", "expected"),
    [(0, PROBABILITIES), (0.2, [0.2, 0.2, 0.2, 0.2, 0.25, 0.2, 0.3]), (0.5, [0.5] * 7)],
)
def test_probabilities_are_raised_and_never_lowered(least: float, expected: list[float]) -> None:
    transforms = training_transforms((8, 8, 8))
    transform = TwoViewsTransform(transforms, least)
    assert [t.apply_probability for t in transform.strong.transforms] == expected
    assert [t.apply_probability for t in transforms.transforms if is_intensity(t)] == PROBABILITIES


class Unknown(BasicTransform):
    """May do anything."""


@pytest.mark.parametrize(
    "transform",
    [Add(), RandomTransform(Add(), 0), OneOfTransform([RandomTransform(Add(), 0), RandomTransform(Add(), 0)])],
)
def test_the_strong_view_has_each_intensity_transform_however_it_is_wrapped(transform: BasicTransform) -> None:
    weak, strong = views(TwoViewsTransform(ComposeTransforms([transform]), 1), torch.zeros(1, 4, 4, 4))
    assert (weak == 0).all()
    assert (strong == 1).all()


def test_a_choice_of_spatial_transforms_is_the_same_for_both_views() -> None:
    rotate = OneOfTransform(
        [RandomTransform(Rot90Transform(num_axis_combinations=(1, 2), num_rot_per_combination=(1, 2, 3)), 1)]
    )
    image, seen = coordinates((4, 4, 4)), set()
    for weak, strong in draw(TwoViewsTransform(ComposeTransforms([rotate]), 1), image, count=20):
        assert torch.equal(weak, strong)
        seen.add(tuple(weak.flatten().tolist()))
    assert len(seen) > 1


@pytest.mark.parametrize(
    "transform", [Unknown(), RandomTransform(Unknown(), 0.5), OneOfTransform([Add(), Convert3DTo2DTransform()])]
)
def test_a_transform_of_unknown_kind_is_refused(transform: BasicTransform) -> None:
    with pytest.raises(UserError, match="not known to be either"):
        TwoViewsTransform(ComposeTransforms([Add(), transform]), 0.5)


def test_every_transform_of_nnunets_da5_reaches_the_unlabeled_patches() -> None:
    transforms = nnUNetTrainerDA5.get_training_transforms((8, 8, 8), (-0.5, 0.5), None, (0, 1, 2), False)
    result = TwoViewsTransform(transforms, 0.5)
    spatial, strong = result.spatial.transforms, result.strong.transforms
    for name in ("Rot90Transform", "TransposeAxesTransform", "SpatialTransform", "MirrorTransform"):
        assert sum(name in repr(t) for t in spatial) == 1
    assert sum(isinstance(t, OneOfTransform) for t in strong) == 2
    assert len(spatial) + len(strong) == len(
        [t for t in transforms.transforms if "Seg" not in type(t).__name__ and "Label" not in type(t).__name__]
    )


def test_the_loader_gets_an_empty_segmentation_to_collect() -> None:
    transform = TwoViewsTransform(training_transforms((8, 8, 8)), 0.5)
    result = transform(image=torch.zeros(3, 8, 8, 8), segmentation=torch.zeros(1, 8, 8, 8, dtype=torch.int16))
    assert result["image"].shape == (6, 8, 8, 8)
    assert result["segmentation"].numel() == 0
    assert result["segmentation"].dtype == torch.int16
