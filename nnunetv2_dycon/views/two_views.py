"""Two views of one crop: the teacher's and the student's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform, ImageOnlyTransform, SegOnlyTransform
from batchgeneratorsv2.transforms.nnunet.random_binary_operator import ApplyRandomBinaryOperatorTransform
from batchgeneratorsv2.transforms.nnunet.remove_connected_components import (
    RemoveRandomConnectedComponentFromOneHotEncodingTransform,
)
from batchgeneratorsv2.transforms.nnunet.seg_to_onehot import MoveSegAsOneHotToDataTransform
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.rot90 import Rot90Transform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.spatial.transpose import TransposeAxesTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.nnunet_masking import MaskImageTransform
from batchgeneratorsv2.transforms.utils.pseudo2d import Convert2DTo3DTransform, Convert3DTo2DTransform
from batchgeneratorsv2.transforms.utils.random import OneOfTransform, RandomTransform
from torch.nn.functional import grid_sample

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.views.locations import average_blocks, block_locations, location_channels

_SPATIAL_TRANSFORMS = (
    SpatialTransform,
    MirrorTransform,
    Rot90Transform,
    TransposeAxesTransform,
    Convert3DTo2DTransform,
    Convert2DTo3DTransform,
)
_PREVIOUS_STAGE_TRANSFORMS = (
    ApplyRandomBinaryOperatorTransform,
    RemoveRandomConnectedComponentFromOneHotEncodingTransform,
)
_KINDS = (
    _SPATIAL_TRANSFORMS,
    (ImageOnlyTransform,),
    (MaskImageTransform,),
    (SegOnlyTransform,),
    (MoveSegAsOneHotToDataTransform,),
)


class TwoViewsTransform(BasicTransform):
    """One spatial transform, then a weak view without and a strong view with intensity transforms.

    It is made from the training transforms of the trainer, so that a change there (mirroring axes, rotation ranges,
    further intensity transforms) holds for unlabeled data too; those of segmentations alone are left out. The views
    differ by intensity only: every voxel of one shows the same place as that voxel of the other.

    In a cascade, nnU-Net's transforms append the previous stage's segmentation to the image, a channel for each of L
    foreground labels, and then damage it at random, so that the network does not rely on it. The strong view is
    damaged, with nnU-Net's own probabilities. The weak view has the segmentation as it is, which is what a network sees
    when it predicts: the teacher's target is the best it can give, and the student learns to reach it from a worse one.

    Input: ``image`` (C, X, Y, Z) and ``segmentation``, (1, X, Y, Z), -1 outside the nonzero mask; in a cascade
    (2, X, Y, Z), the second channel the previous stage's labels. Output: ``image`` (2C, ...), in a cascade
    (2 (C + L), ...), the weak view's channels first, and a ``segmentation``, since nnU-Net's loader collects both. It
    is empty, or where `crop_size` is given, what block_locations tells of the views.

    Args:
        training_transforms: what ``nnUNetTrainer.get_training_transforms`` returns.
        strong_view_probability: each intensity transform is applied to the strong view with at least this probability,
            in [0, 1].
        crop_size: of the crops that are transformed, in voxels, to have the locations of blocks; None: not wanted.

    Raises:
        UserError: when it cannot be told of a transform whether it moves voxels or changes intensities.
    """

    def __init__(
        self,
        training_transforms: ComposeTransforms,
        strong_view_probability: float,
        crop_size: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        transforms = training_transforms.transforms
        for transform in transforms:
            if not any(_is_only(transform, *kinds) for kinds in _KINDS):
                raise UserError(
                    f"The trainer's training transforms hold {transform!r}. Unlabeled patches are shown to teacher and "
                    "student with the same spatial and different intensity transforms, and this one is not known to be "
                    "either. If it changes intensities only, derive it from batchgeneratorsv2's ImageOnlyTransform; "
                    "otherwise leave it out of get_training_transforms."
                )
        self.spatial = ComposeTransforms([t for t in transforms if _is_only(t, *_SPATIAL_TRANSFORMS)])
        self.masking = ComposeTransforms([t for t in transforms if _is_only(t, MaskImageTransform)])
        self.previous_stage = ComposeTransforms([t for t in transforms if _is_only(t, MoveSegAsOneHotToDataTransform)])
        intensity: list[BasicTransform] = []
        # What comes after the previous stage's segmentation has become channels may change these channels.
        intensity_and_previous_stage: list[BasicTransform] = []
        kept = intensity
        for transform in transforms:
            if _is_only(transform, MoveSegAsOneHotToDataTransform):
                kept = intensity_and_previous_stage
            elif _is_only(transform, *_PREVIOUS_STAGE_TRANSFORMS):
                kept.append(transform)
            elif _is_only(transform, ImageOnlyTransform):
                kept.append(_at_least(transform, strong_view_probability))
        self.strong = ComposeTransforms(intensity)
        self.strong_previous_stage = ComposeTransforms(intensity_and_previous_stage)
        # Made here, so that worker processes share it.
        self.location_channels = None if crop_size is None else location_channels(crop_size)

    def apply(self, data_dict: dict, **params: object) -> dict:
        """Make the two views; see the class."""
        if not self.masking.transforms and not self.previous_stage.transforms:
            data_dict = {"image": data_dict["image"]}
        locations = torch.empty(0, dtype=torch.int16)
        if self.location_channels is None:
            crop = self.spatial(**data_dict)
        else:
            # nnU-Net's name for what is transformed as the image is.
            crop = {**data_dict, "regression_target": self.location_channels}
            for transform in self.spatial.transforms:
                crop = _transform_locations_by_block(transform, crop)
            locations = block_locations(crop.pop("regression_target"))
        views = [crop["image"], self.strong(image=crop["image"].clone())["image"]]
        for transform in (self.masking, self.previous_stage):
            views = [transform(**{**crop, "image": view})["image"] for view in views]
        views[1] = self.strong_previous_stage(image=views[1])["image"]
        return {"image": torch.cat(views), "segmentation": locations}


def _transform_locations_by_block(transform: BasicTransform, data_dict: dict) -> dict:
    """Apply a spatial transform; nnU-Net's own yields the regression target's blocks alone, which costs far less."""
    if type(transform) is not SpatialTransform:
        return transform(**data_dict)
    channels = data_dict.pop("regression_target")
    params = transform.get_parameters(**data_dict)
    grid = params.get("grid")
    if grid is None:
        blocks = average_blocks(transform._apply_to_regr_target(channels, **params))
    else:
        grid = average_blocks(grid.movedim(-1, 0)).movedim(0, -1)
        blocks = grid_sample(channels[None], grid[None], align_corners=transform.align_corners)[0]
    return {**transform.apply(data_dict, **params), "regression_target": blocks}


def _is_only(transform: BasicTransform, *kinds: type[BasicTransform]) -> bool:
    """Whether the transform, or every one that it may apply, is of these kinds."""
    if isinstance(transform, RandomTransform):
        return _is_only(transform.transform, *kinds)
    if isinstance(transform, OneOfTransform):
        return all(_is_only(t, *kinds) for t in transform.list_of_transforms)
    return isinstance(transform, kinds)


def _at_least(transform: BasicTransform, probability: float) -> BasicTransform:
    """The transform, applied with at least this probability."""
    if isinstance(transform, RandomTransform):
        return RandomTransform(transform.transform, max(transform.apply_probability, probability))
    if isinstance(transform, OneOfTransform):
        return OneOfTransform([_at_least(t, probability) for t in transform.list_of_transforms])
    return transform
