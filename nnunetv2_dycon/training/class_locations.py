"""Class locations of unlabeled cases: where the teacher saw foreground. No label enters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetBaseDataset
from torch import Tensor

# Of each class in each case.
_KEPT = 8
# From a block's centre, in blocks: more than the half diagonal of a block that was scaled as nnU-Net scales.
_VIEW = 1.25


class ClassLocations:
    """For each class of each unlabeled case, voxels that the teacher took for it, as nnU-Net notes labeled voxels.

    It costs no prediction: every unlabeled patch that a step shows to the teacher anyway replaces what was known of the
    place that it shows, also by nothing. Of each patch, the voxel of each class is noted of which the teacher is most
    certain, and of each case the eight most certain ones are kept. So what is known of a place is as old as the last
    patch there, and is dropped earlier only where more certain ones take its room.

    The voxels lie in shared memory, so that worker processes that were started after :meth:`start` see every change.
    They may read a voxel while it is written, and then mix the coordinates of two, which lie in the case all the same.

    Args:
        num_classes: foreground classes or regions.
    """

    def __init__(self, num_classes: int) -> None:
        self._num_classes = num_classes
        self._rows: dict[str, int] = {}
        # Of each case and class (8, 4): three indices, and the probability of the class; -1 where there is none.
        self._voxels = torch.empty(0, num_classes, _KEPT, 4)
        self._saved: Mapping[str, Tensor] = {}
        self._pending: tuple[Sequence[str], Tensor, Tensor, Sequence[int]] | None = None

    def start(self, identifiers: Sequence[str]) -> None:
        """Make room for these cases, and fill in what :meth:`load_state_dict` was given of them."""
        self._rows = {identifier: row for row, identifier in enumerate(identifiers)}
        self._voxels = torch.full((len(self._rows), self._num_classes, _KEPT, 4), -1.0).share_memory_()
        for identifier in self._saved.keys() & self._rows.keys():
            self._voxels[self._rows[identifier]] = self._saved[identifier]

    def of_case(self, identifier: str) -> dict[int, np.ndarray]:
        """What nnU-Net's loader wants to know of a case.

        Returns:
            For each class (n, 4) voxels, with 0 in the place of the channel; n may be 0.
        """
        voxels = self._voxels[self._rows[identifier]].numpy()
        known = voxels[..., 0] >= 0
        return {
            index + 1: np.pad(voxels[index, known[index], :3].astype(int), ((0, 0), (1, 0)))
            for index in range(self._num_classes)
        }

    @property
    def known_case_fraction(self) -> float:
        """The share of cases of which any voxel is known, in [0, 1]."""
        return float((self._voxels[..., 0] >= 0).flatten(1).any(1).float().mean())

    def see(self, batch: Mapping[str, Any], foreground: Tensor) -> None:
        """Take in what the teacher sees in an unlabeled batch; it shows with the next call.

        That call must not come before something has waited for the device, as reading the loss of a step does. So
        nothing waits here, and what is done here is done while the device computes the step.

        Args:
            batch: of nnUNetTwoViewDataLoader.
            foreground: (B, F, *blocks) on any device, of its weak view; see foreground_by_block.
        """
        self._take_in_pending()
        data, keys, locations = batch["data"], batch["keys"], batch["locations"]
        self._pending = keys, locations, foreground.to("cpu", non_blocking=True), data.shape[2:]

    def _take_in_pending(self) -> None:
        if self._pending is not None:
            for identifier, locations, seen in zip(*self._pending[:3], strict=True):
                self._see_patch(identifier, locations, seen, self._pending[3])
            self._pending = None

    def _see_patch(self, identifier: str, locations: Tensor, foreground: Tensor, patch_size: Sequence[int]) -> None:
        voxels = self._voxels[self._rows[identifier]].numpy()
        blocks = locations.flatten(1).T
        inside = (blocks >= 0).all(1)
        blocks = blocks[inside]
        if len(blocks) == 0:
            return
        voxels[_in_view(voxels, blocks, patch_size, foreground.shape[1:])] = -1
        probabilities, indices = foreground.flatten(1)[:, inside].max(1)
        for own, probability, index in zip(voxels, probabilities.tolist(), indices.tolist(), strict=True):
            least = own[:, 3].argmin()
            if probability > max(own[least, 3], 0):
                own[least] = [*blocks[index].tolist(), probability]

    def state_dict(self) -> dict[str, Tensor]:
        """For a checkpoint: of each case of which any voxel is known (F, 8, 4), indices and probability or -1.

        What the last step saw is taken in first, under the same condition as in :meth:`see`.
        """
        self._take_in_pending()
        if not self._rows:
            return dict(self._saved)
        known = (self._voxels[..., 0] >= 0).flatten(1).any(1)
        return {identifier: self._voxels[row].clone() for identifier, row in self._rows.items() if known[row]}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Give back at :meth:`start` what :meth:`state_dict` told, of the cases that are still there."""
        self._saved = {identifier: voxels.cpu() for identifier, voxels in state.items()}


class CasesWithClassLocations:
    """A dataset whose cases have these class locations, in the form that nnU-Net's loader reads.

    Args:
        dataset: of images.
        class_locations: of its cases.
    """

    def __init__(self, dataset: nnUNetBaseDataset, class_locations: ClassLocations) -> None:
        self.identifiers = dataset.identifiers
        self._dataset = dataset
        self._class_locations = class_locations

    def load_case(self, identifier: str) -> tuple[Any, Any, Any, dict]:
        """See nnUNetBaseDataset.load_case."""
        image, segmentation, previous_stage, properties = self._dataset.load_case(identifier)
        properties = {**properties, "class_locations": self._class_locations.of_case(identifier)}
        return image, segmentation, previous_stage, properties


def _in_view(voxels: np.ndarray, blocks: Tensor, patch_size: Sequence[int], grid: Sequence[int]) -> np.ndarray:
    """Which voxels (F, 8, 4) lie in a patch whose blocks have their centres at (n, 3): (F, 8) booleans."""
    block_size = torch.tensor([size / count for size, count in zip(patch_size, grid, strict=True)])
    if len(block_size) == 2:
        # A slice shows nothing of the next one.
        block_size = torch.cat([torch.tensor([0.5]), block_size])
    in_view: np.ndarray = voxels[..., 0] >= 0
    known = torch.from_numpy(voxels[in_view][:, :3]) / block_size
    centres = blocks / block_size
    # Most lie elsewhere, which is cheap to see.
    near = ((known > centres.amin(0) - _VIEW) & (known < centres.amax(0) + _VIEW)).all(1)
    near[near.clone()] = torch.cdist(known[near], centres).amin(1) < _VIEW
    in_view[in_view.copy()] = near.numpy()
    return in_view
