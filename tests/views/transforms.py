"""nnU-Net's training transforms, and images that show what becomes of each voxel."""

from __future__ import annotations

import torch
from batchgeneratorsv2.transforms.base.basic_transform import ImageOnlyTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.random import RandomTransform
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import Tensor

from nnunetv2_dycon.views.two_views import TwoViewsTransform


class Add(ImageOnlyTransform):
    """Adds one."""

    def _apply_to_image(self, img: Tensor, **_: object) -> Tensor:
        return img + 1


def training_transforms(
    patch_size: tuple[int, ...],
    *,
    dummy_2d: bool = False,
    mirror: bool = True,
    use_mask_for_norm: list[bool] | None = None,
    foreground_labels: tuple[int, ...] | None = None,
    trainer: type[nnUNetTrainer] = nnUNetTrainer,
) -> ComposeTransforms:
    """nnU-Net's, each crop rotated and scaled; with foreground labels, those of a cascade."""
    axes = tuple(range(len(patch_size))) if mirror else None
    transforms = trainer.get_training_transforms(
        patch_size,
        (-0.5, 0.5),
        None,
        axes,
        dummy_2d,
        use_mask_for_norm=use_mask_for_norm,
        is_cascaded=foreground_labels is not None,
        foreground_labels=foreground_labels,
    )
    for transform in transforms.transforms:
        if isinstance(transform, SpatialTransform):
            transform.p_rotation = transform.p_scaling = 1
    return transforms


def is_intensity(transform: object) -> bool:
    return isinstance(transform, RandomTransform)


def coordinates(size: tuple[int, ...]) -> Tensor:
    """(dim, *size): each voxel's place, counted from 1 since what lies outside the scan is 0."""
    return torch.stack(torch.meshgrid(*[torch.arange(1.0, n + 1) for n in size], indexing="ij"))


def views(transform: TwoViewsTransform, image: Tensor, segmentation: Tensor | None = None) -> tuple[Tensor, Tensor]:
    if segmentation is None:
        segmentation = torch.zeros(1, *image.shape[1:], dtype=torch.int16)
    return transform(image=image.clone(), segmentation=segmentation.clone())["image"].chunk(2)
