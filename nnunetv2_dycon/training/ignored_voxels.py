"""Ignored voxels as unlabeled ones: training cases with nnU-Net's ignore label that join the unlabeled stream."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import blosc2
import numpy as np
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetBaseDataset
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.label_handling.label_handling import LabelManager

from nnunetv2_dycon.methods.settings import MethodSettings
from nnunetv2_dycon.training.unlabeled_stream import nnUNetUnlabeledDataset

SettingsType = TypeVar("SettingsType", bound=MethodSettings)


def settings_in_force(settings: SettingsType, label_manager: LabelManager) -> SettingsType:
    """The settings, with ``ignored_voxels_as_unlabeled`` off where there is no ignore label and it changes nothing.

    Trainings of releases without this setting can then be resumed unless it makes a difference.
    """
    if label_manager.has_ignore_label:
        return settings
    return dataclasses.replace(settings, ignored_voxels_as_unlabeled=False)


def find_partly_labeled_cases(dataset: nnUNetBaseDataset, ignore_label: int) -> list[str]:
    """Those of nnU-Net's labeled cases that have ignored voxels, sorted.

    Their segmentations are read up to the first ignored voxel; one that has none is read to its end.
    """
    return [identifier for identifier in dataset.identifiers if _has_label(dataset, identifier, ignore_label)]


def _has_label(dataset: nnUNetBaseDataset, identifier: str, label: int) -> bool:
    _, segmentation, *_ = dataset.load_case(identifier)
    length = segmentation.shape[1]
    step = segmentation.chunks[1] if isinstance(segmentation, blosc2.NDArray) else length
    return any((segmentation[:, start : start + step] == label).any() for start in range(0, length, step))


class nnUNetPartlyLabeledDataset(nnUNetUnlabeledDataset):
    """Unlabeled cases, joined by cases of nnU-Net's labeled folder as images: their labels are opened but not read.

    Args:
        unlabeled: the unlabeled cases, possibly none.
        labeled: nnU-Net's dataset of the cases that join them; in a cascade, with the previous stage's segmentations.
    """

    def __init__(self, unlabeled: nnUNetUnlabeledDataset, labeled: nnUNetBaseDataset) -> None:
        identifiers = [*unlabeled.identifiers, *labeled.identifiers]
        super().__init__(unlabeled.source_folder, identifiers, unlabeled.needs_nonzero_mask)
        self._unlabeled, self._labeled = unlabeled, labeled
        self._joined = frozenset(labeled.identifiers)

    def load_case(self, identifier: str) -> tuple[Any, Any, Any, dict]:
        """See nnUNetUnlabeledDataset."""
        if identifier not in self._joined:
            return self._unlabeled.load_case(identifier)
        image, segmentation, previous_stage, _ = self._labeled.load_case(identifier)
        inside = np.broadcast_to(np.int8(0), (1, *image.shape[1:]))
        mask = _NonzeroMask(segmentation) if self.needs_nonzero_mask else inside
        return image, mask, previous_stage, {"class_locations": None}


class _NonzeroMask:
    """What of a segmentation comes from the image: -1 outside its nonzero mask, 0 inside; read where it is cropped.

    Ignored voxels count as inside, as they do in nnU-Net's labeled stream.
    """

    def __init__(self, segmentation: np.ndarray | blosc2.NDArray) -> None:
        self._segmentation = segmentation
        self.shape, self.dtype = segmentation.shape, segmentation.dtype

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        return np.minimum(self._segmentation[key], 0)


def join_partly_labeled_cases(
    unlabeled: nnUNetUnlabeledDataset, trainer: nnUNetTrainer, partly_labeled: list[str]
) -> nnUNetPartlyLabeledDataset:
    """Let labeled cases of a trainer join its unlabeled cases."""
    labeled = trainer.dataset_class(
        trainer.preprocessed_dataset_folder,
        list(partly_labeled),
        folder_with_segs_from_previous_stage=trainer.folder_with_segs_from_previous_stage,
    )
    return nnUNetPartlyLabeledDataset(unlabeled, labeled)
