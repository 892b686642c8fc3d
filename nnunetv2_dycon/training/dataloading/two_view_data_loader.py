"""The loader of the unlabeled stream."""

from __future__ import annotations

import numpy as np
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader


class nnUNetTwoViewDataLoader(nnUNetDataLoader):
    """nnU-Net's loader on unlabeled cases.

    Patches are drawn uniformly, since there is no foreground to oversample. With :class:`TwoViewsTransform` as its
    transform, a batch is ``{"data": (B, 2C, ...), "keys": [...]}``: the weak view's channels, then the strong view's.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        # An ignore label makes nnU-Net look for annotated voxels; here there are none and none are wanted.
        self.has_ignore = False

    def get_bbox(
        self,
        data_shape: np.ndarray,
        force_fg: bool,
        class_locations: dict | None,
        overwrite_class: int | tuple[int, ...] | None = None,
        verbose: bool = False,
    ) -> tuple[list[int], list[int]]:
        """Draw a bounding box uniformly, whatever the sample's place in the batch. See nnUNetDataLoader.get_bbox."""
        return super().get_bbox(data_shape, False, class_locations, overwrite_class, verbose)

    def generate_train_batch(self) -> dict:
        """Draw a batch. See nnUNetDataLoader.generate_train_batch."""
        batch = super().generate_train_batch()
        del batch["target"]
        return batch
