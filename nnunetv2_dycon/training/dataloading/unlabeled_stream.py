"""Worker processes of the unlabeled stream."""

from __future__ import annotations

import numpy as np
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from batchgenerators.dataloading.single_threaded_augmenter import SingleThreadedAugmenter
from nnunetv2.utilities.default_n_proc_DA import get_allowed_n_proc_DA

from nnunetv2_dycon.training.dataloading.two_view_data_loader import nnUNetTwoViewDataLoader


class UnlabeledStream:
    """Unlabeled batches, made in worker processes as nnUNetTrainer.get_dataloaders makes the labeled ones.

    ``nnUNet_n_proc_DA`` sets how many workers there are, beside those of the labeled stream; 0 means none.

    Args:
        loader: makes the batches.
        pin_memory: whether batches go to page-locked memory, for a GPU.
    """

    def __init__(self, loader: nnUNetTwoViewDataLoader, pin_memory: bool) -> None:
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
        """The next batch. See nnUNetTwoViewDataLoader."""
        return next(self._augmenter)

    def close(self) -> None:
        """End the worker processes."""
        if isinstance(self._augmenter, NonDetMultiThreadedAugmenter):
            self._augmenter._finish()
