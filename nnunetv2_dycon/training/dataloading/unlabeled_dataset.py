"""The dataset class of unlabeled cases."""

from __future__ import annotations

import os
from pathlib import Path

import blosc2
import numpy as np
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

from nnunetv2_dycon.preprocessing.case_stamp import stamped_cases


class nnUNetUnlabeledDataset(nnUNetDatasetBlosc2):
    """Preprocessed unlabeled cases. There is no label in its folder, and it opens none.

    nnU-Net's loader expects a segmentation and class locations. The segmentation it gets is 0 within the scan's
    nonzero mask and -1 outside, as nnU-Net's preprocessor derives it from the image; it is opened only where the plans
    mask the image after augmentation. Class locations are None.

    Args:
        folder: of the preprocessed unlabeled cases.
        identifiers: the cases to use; all of the folder where None.
        needs_nonzero_mask: whether any channel has ``use_mask_for_norm``.
    """

    def __init__(self, folder: str, identifiers: list[str] | None = None, needs_nonzero_mask: bool = False) -> None:
        super().__init__(folder, identifiers)
        self.needs_nonzero_mask = needs_nonzero_mask

    def load_case(self, identifier: str) -> tuple[blosc2.NDArray, blosc2.NDArray | np.ndarray, None, dict]:
        """Open a case; nothing but what is later cropped is read from disk.

        Args:
            identifier: the case.

        Returns:
            Image (C, X, Y, Z), mask (1, X, Y, Z), no segmentation of a previous stage, and the properties.
        """
        image = self._open(f"{identifier}.b2nd")
        if self.needs_nonzero_mask:
            mask = self._open(f"{identifier}_nonzero.b2nd")
        else:
            mask = np.broadcast_to(np.int8(0), (1, *image.shape[1:]))
        return image, mask, None, {"class_locations": None}

    def _open(self, name: str) -> blosc2.NDArray:
        file = os.path.join(self.source_folder, name)
        return blosc2.open(urlpath=file, mode="r", dparams={"nthreads": 1}, **self.mmap_kwargs)

    @staticmethod
    def get_identifiers(folder: str) -> list[str]:
        """The cases that are done, i.e. that have a stamp."""
        return stamped_cases(Path(folder))
