"""Two views of one crop: the teacher's and the student's."""

from __future__ import annotations

import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform, ImageOnlyTransform
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.nnunet_masking import MaskImageTransform
from batchgeneratorsv2.transforms.utils.pseudo2d import Convert2DTo3DTransform, Convert3DTo2DTransform
from batchgeneratorsv2.transforms.utils.random import RandomTransform

_SPATIAL_TRANSFORMS = (SpatialTransform, MirrorTransform, Convert3DTo2DTransform, Convert2DTo3DTransform)


class TwoViewsTransform(BasicTransform):
    """One spatial transform, then a weak view without and a strong view with intensity transforms.

    It is made from the training transforms of the trainer, so that a change there (mirroring axes, rotation ranges,
    further intensity transforms) holds for unlabeled data too. The views differ by intensity only: every voxel of one
    shows the same place as that voxel of the other.

    Input: ``image`` (C, X, Y, Z) and ``segmentation`` (1, X, Y, Z), the latter -1 outside the nonzero mask. Output:
    ``image`` (2C, ...), the weak view's channels first, and an empty ``segmentation``, since nnU-Net's loader collects
    both.

    Args:
        training_transforms: what ``nnUNetTrainer.get_training_transforms`` returns.
        strong_view_probability: each intensity transform is applied to the strong view with at least this probability,
            in [0, 1].
    """

    def __init__(self, training_transforms: ComposeTransforms, strong_view_probability: float) -> None:
        super().__init__()
        transforms = training_transforms.transforms
        self.spatial = ComposeTransforms([t for t in transforms if isinstance(t, _SPATIAL_TRANSFORMS)])
        self.strong = ComposeTransforms(
            [
                RandomTransform(t.transform, max(t.apply_probability, strong_view_probability))
                for t in transforms
                if isinstance(t, RandomTransform) and isinstance(t.transform, ImageOnlyTransform)
            ]
        )
        self.masking = ComposeTransforms([t for t in transforms if isinstance(t, MaskImageTransform)])

    def apply(self, data_dict: dict, **params: object) -> dict:
        """Make the two views; see the class."""
        if not self.masking.transforms:
            data_dict = {"image": data_dict["image"]}
        crop = self.spatial(**data_dict)
        views = [crop["image"], self.strong(image=crop["image"].clone())["image"]]
        views = [self.masking(**{**crop, "image": view})["image"] for view in views]
        return {"image": torch.cat(views), "segmentation": torch.empty(0, dtype=torch.int16)}
