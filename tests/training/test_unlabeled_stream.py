"""The workers of the unlabeled stream."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import blosc2
import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.label_handling.label_handling import LabelManager

from nnunetv2_dycon.training.class_locations import CasesWithClassLocations, ClassLocations
from nnunetv2_dycon.training.unlabeled_stream import UnlabeledStream, nnUNetTwoViewDataLoader, nnUNetUnlabeledDataset
from nnunetv2_dycon.views.two_views import TwoViewsTransform


class LoaderThatTellsItsProcess(nnUNetTwoViewDataLoader):
    def generate_train_batch(self) -> dict:
        draws = (torch.rand(()).item(), np.random.rand())  # noqa: NPY002 (what nnU-Net draws from)
        return {**super().generate_train_batch(), "process": os.getpid(), "draws": draws}


@pytest.fixture
def loader(tmp_path: Path) -> nnUNetTwoViewDataLoader:
    blosc2.asarray(np.ones((1, 8, 8, 8), np.float32), urlpath=str(tmp_path / "a.b2nd"))
    transforms = nnUNetTrainer.get_training_transforms((4, 4, 4), (0, 0), None, None, False)
    return LoaderThatTellsItsProcess(
        nnUNetUnlabeledDataset(str(tmp_path), ["a"]),
        2,
        (4, 4, 4),
        (4, 4, 4),
        LabelManager({"background": 0, "organ": 1}, None),
        transforms=TwoViewsTransform(transforms, 0.5),
    )


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_come_from_as_many_workers_as_nnunet_is_told_to_use(
    loader: nnUNetTwoViewDataLoader, monkeypatch: pytest.MonkeyPatch, num_workers: int
) -> None:
    monkeypatch.setenv("nnUNet_n_proc_DA", str(num_workers))
    others = multiprocessing.active_children()
    stream = UnlabeledStream(loader, pin_memory=False)
    batches = [next(stream)]
    while len({batch["process"] for batch in batches}) < num_workers and len(batches) < 500:
        batches.append(next(stream))
    workers = [process.pid for process in multiprocessing.active_children() if process not in others]
    assert len(workers) == num_workers
    assert {batch["process"] for batch in batches} == set(workers or [os.getpid()])
    assert all(batch["data"].shape == (2, 2, 4, 4, 4) for batch in batches)
    assert len({draw for batch in batches for draw in batch["draws"]}) == 2 * len(batches)
    stream.close()
    assert multiprocessing.active_children() == others


def test_workers_draw_around_what_the_teacher_saw_after_they_were_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blosc2.asarray(np.ones((1, 64, 64, 64), np.float32), urlpath=str(tmp_path / "a.b2nd"))
    class_locations = ClassLocations(1)
    class_locations.start(["a"])
    loader = nnUNetTwoViewDataLoader(
        CasesWithClassLocations(nnUNetUnlabeledDataset(str(tmp_path), ["a"]), class_locations),
        1,
        (4, 4, 4),
        (4, 4, 4),
        LabelManager({"background": 0, "organ": 1}, None),
        oversample_foreground_percent=1,
        transforms=TwoViewsTransform(ComposeTransforms([]), 0.5, (4, 4, 4)),
    )
    monkeypatch.setenv("nnUNet_n_proc_DA", "2")
    stream = UnlabeledStream(loader, pin_memory=False)
    batch = next(stream)
    foreground = torch.zeros(1, 1, 4, 4, 4)
    foreground[..., 1, 2, 3] = 0.9
    seen = batch["locations"][0, :, 1, 2, 3].tolist()
    for _ in range(2):
        class_locations.see(batch, foreground)
    middles = [next(stream)["locations"][0, :, 2, 2, 2].tolist() for _ in range(40)]
    stream.close()
    # The first ones were drawn before.
    assert middles[-5:] == [seen] * 5
