"""The unlabeled stream: preprocessed cases, the loader that crops them, and its worker processes."""

from __future__ import annotations

import os
from multiprocessing.process import BaseProcess
from pathlib import Path

import blosc2
import numpy as np
import torch
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from batchgenerators.dataloading.single_threaded_augmenter import SingleThreadedAugmenter
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetBaseDataset, nnUNetDatasetBlosc2
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.default_n_proc_DA import get_allowed_n_proc_DA

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.methods.settings import MethodSettings
from nnunetv2_dycon.preprocessing.case_stamp import stamped_cases
from nnunetv2_dycon.training.class_locations import CasesWithClassLocations, ClassLocations
from nnunetv2_dycon.training.distributed import share_of_batch
from nnunetv2_dycon.views.two_views import TwoViewsTransform


class nnUNetUnlabeledDataset(nnUNetDatasetBlosc2):
    """Preprocessed unlabeled cases. There is no label in its folder, and it opens none.

    nnU-Net's loader expects a segmentation and class locations. The segmentation it gets is 0 within the scan's
    nonzero mask and -1 outside, as nnU-Net's preprocessor derives it from the image; it is opened only where the plans
    mask the image after augmentation. Class locations are None.

    Args:
        folder: of the preprocessed unlabeled cases.
        identifiers: the cases to use; all of the folder where None.
        needs_nonzero_mask: whether any channel has ``use_mask_for_norm``.
        folder_with_segs_from_previous_stage: in a cascade, of the previous stage's segmentations of these cases.
    """

    def __init__(
        self,
        folder: str,
        identifiers: list[str] | None = None,
        needs_nonzero_mask: bool = False,
        folder_with_segs_from_previous_stage: str | None = None,
    ) -> None:
        super().__init__(folder, identifiers, folder_with_segs_from_previous_stage)
        self.needs_nonzero_mask = needs_nonzero_mask

    def load_case(
        self, identifier: str
    ) -> tuple[blosc2.NDArray, blosc2.NDArray | np.ndarray, blosc2.NDArray | None, dict]:
        """Open image (C, X, Y, Z), mask (1, X, Y, Z) and the previous stage's segmentation (X, Y, Z) of a case.

        Nothing but what is later cropped is read.
        """
        image = self._open(self.source_folder, f"{identifier}.b2nd")
        if self.needs_nonzero_mask:
            mask = self._open(self.source_folder, f"{identifier}_nonzero.b2nd")
        else:
            mask = np.broadcast_to(np.int8(0), (1, *image.shape[1:]))
        previous_stage = None
        if self.folder_with_segs_from_previous_stage is not None:
            previous_stage = self._open(self.folder_with_segs_from_previous_stage, f"{identifier}.b2nd")
        return image, mask, previous_stage, {"class_locations": None}

    def _open(self, folder: str, name: str) -> blosc2.NDArray:
        file = os.path.join(folder, name)
        return blosc2.open(urlpath=file, mode="r", dparams={"nthreads": 1}, **self.mmap_kwargs)

    @staticmethod
    def get_identifiers(folder: str) -> list[str]:
        """The cases that are done, i.e. that have a stamp."""
        return stamped_cases(Path(folder))


class nnUNetTwoViewDataLoader(nnUNetDataLoader):
    """nnU-Net's loader on unlabeled cases.

    Where the cases have class locations, nnU-Net's loader draws the oversampled patches around them: it takes a case,
    one of the classes that are known of it and one of its voxels, and draws uniformly where nothing is known. All other
    patches are drawn uniformly.

    With :class:`TwoViewsTransform` as its transform, a batch is ``{"data": (B, 2C, ...), "keys": [...]}``: the weak
    view's channels, then the strong view's. It also holds ``"uniform"``: (B,) booleans, which patches were drawn
    uniformly. In a cascade, the channels of each view are those of the image and then the
    previous stage's, as in nnU-Net. Where the cases have class locations, a batch also holds ``"locations"``:
    (B, 3, *blocks) int16, the voxel of the case in the centre of each block of a patch; -1 outside of the case.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        # An ignore label makes nnU-Net look for annotated voxels; here there are none and none are wanted.
        self.has_ignore = False
        # Lower corner of each patch of the batch that is being made, and the size of its case.
        self._corners: list[tuple[list[int], tuple[int, ...]]] = []
        self._uniform: list[bool] = []

    def get_bbox(
        self,
        data_shape: np.ndarray,
        force_fg: bool,
        class_locations: dict | None,
        overwrite_class: int | tuple[int, ...] | None = None,
        verbose: bool = False,
    ) -> tuple[list[int], list[int]]:
        """Draw a bounding box, uniformly without class locations. See nnUNetDataLoader.get_bbox."""
        force_fg = force_fg and class_locations is not None
        self._uniform.append(not (force_fg and any(len(voxels) for voxels in (class_locations or {}).values())))
        lower, upper = super().get_bbox(data_shape, force_fg, class_locations, overwrite_class, verbose)
        self._corners.append((lower, tuple(data_shape)))
        return lower, upper

    def generate_train_batch(self) -> dict:
        """Draw a batch. See nnUNetDataLoader.generate_train_batch."""
        self._corners, self._uniform = [], []
        batch = super().generate_train_batch()
        batch["uniform"] = torch.tensor(self._uniform)
        locations = batch.pop("target")
        if locations.numel() > 0:
            pairs = zip(locations, self._corners, strict=True)
            batch["locations"] = torch.stack([_in_case(patch, *corner) for patch, corner in pairs])
        return batch


def _in_case(locations: torch.Tensor, corner: list[int], shape: tuple[int, ...]) -> torch.Tensor:
    """Locations in a crop (D, *blocks) as (3, *blocks) voxels of the case; -1 outside of it."""
    if len(locations) == 2:
        locations = torch.cat([torch.zeros_like(locations[:1]), locations])
    vector = (3, *[1] * (locations.ndim - 1))
    voxels = (locations + torch.tensor(corner).view(vector)).round()
    # False for NaN.
    inside = ((voxels >= 0) & (voxels < torch.tensor(shape).view(vector))).all(0)
    return torch.where(inside, voxels, -1).to(torch.int16)


class DeadWorkerError(UserError):
    """A worker process of the unlabeled stream has ended."""


class UnlabeledStream:
    """Unlabeled batches, made in worker processes as nnUNetTrainer.get_dataloaders makes the labeled ones.

    ``nnUNet_n_proc_DA`` sets how many workers there are, beside those of the labeled stream; 0 means none.

    Args:
        loader: makes the batches.
        pin_memory: whether batches go to page-locked memory, for a GPU.
    """

    def __init__(self, loader: nnUNetTwoViewDataLoader, pin_memory: bool) -> None:
        self._workers: list[BaseProcess] = []
        num_processes = get_allowed_n_proc_DA()
        if num_processes == 0:
            self._augmenter = SingleThreadedAugmenter(loader, None)
        else:
            self._augmenter = NonDetMultiThreadedAugmenter(
                data_loader=loader,
                transform=None,
                num_processes=num_processes,
                num_cached=max(6, num_processes // 2),
                # Forked workers inherit one state of torch's generator, so without seeds all would transform alike.
                seeds=np.random.SeedSequence().generate_state(num_processes).tolist(),
                pin_memory=pin_memory,
                wait_time=0.002,
            )

    def __next__(self) -> dict:
        """The next batch. See nnUNetTwoViewDataLoader.

        Raises:
            DeadWorkerError: when a worker process has ended.
        """
        self.check_workers()
        try:
            batch: dict = next(self._augmenter)
        except RuntimeError:
            self.check_workers()
            raise
        # Its own list is empty once it has seen that one has died.
        self._workers = self._workers or list(getattr(self._augmenter, "_processes", []))
        return batch

    def check_workers(self) -> None:
        """Look whether all workers are alive, which otherwise only the next batch would show.

        Raises:
            DeadWorkerError: when a worker process has ended.
        """
        if not all(worker.is_alive() for worker in self._workers):
            raise DeadWorkerError(
                "A worker process of the unlabeled stream has ended: see the message above or, if there is none, it "
                "was killed, most likely because the memory was full. Go on with --c, with fewer workers "
                "(nnUNet_n_proc_DA) if it happens again."
            )

    def close(self) -> None:
        """End the worker processes."""
        if isinstance(self._augmenter, NonDetMultiThreadedAugmenter):
            self._workers = []
            self._augmenter._finish()


def make_unlabeled_loader(
    trainer: nnUNetTrainer,
    dataset: nnUNetUnlabeledDataset,
    settings: MethodSettings,
    loader_class: type[nnUNetTwoViewDataLoader] = nnUNetTwoViewDataLoader,
    views_class: type[TwoViewsTransform] = TwoViewsTransform,
    class_locations: ClassLocations | None = None,
) -> nnUNetTwoViewDataLoader:
    """Make the unlabeled loader of a trainer, with the augmentation of its labeled one.

    Args:
        trainer: whose patch size, batch size and training transforms are used.
        dataset: the unlabeled cases.
        settings: size of a batch, the share of patches around foreground, and how strong the strong view is.
        loader_class: crops the cases.
        views_class: makes two views of a crop.
        class_locations: where the teacher sees foreground, started here; None: batches do not tell their locations.

    Returns:
        The loader.
    """
    patch_size = trainer.configuration_manager.patch_size
    batch_size = settings.unlabeled_batch_size
    use_mask_for_norm = trainer.configuration_manager.use_mask_for_norm
    rotation, dummy_2d, initial_patch_size, mirror_axes = (
        trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    )
    training_transforms = trainer.get_training_transforms(
        patch_size,
        rotation,
        None,
        mirror_axes,
        dummy_2d,
        use_mask_for_norm=use_mask_for_norm,
        is_cascaded=trainer.is_cascaded,
        foreground_labels=trainer.label_manager.foreground_labels,
    )
    cases: nnUNetBaseDataset | CasesWithClassLocations = dataset
    if class_locations is not None:
        class_locations.start(dataset.identifiers)
        cases = CasesWithClassLocations(dataset, class_locations)
    fraction = settings.unlabeled_foreground_fraction
    crop_size = None if class_locations is None else initial_patch_size
    return loader_class(
        cases,
        trainer.batch_size if batch_size is None else share_of_batch(batch_size),
        initial_patch_size,
        patch_size,
        trainer.label_manager,
        oversample_foreground_percent=fraction,
        # nnU-Net's other rule would draw none of a single patch, and half of two.
        probabilistic_oversampling=fraction > 0,
        transforms=views_class(training_transforms, settings.strong_view_probability, crop_size),
    )
