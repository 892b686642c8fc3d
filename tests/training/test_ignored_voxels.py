"""Training cases with ignored voxels join the unlabeled stream, as images without labels."""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import blosc2
import numpy as np
import pytest
import torch
from batchgenerators.utilities.file_and_folder_operations import load_pickle, write_pickle
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.methods.dycon_settings import DyCONSettings
from nnunetv2_dycon.methods.mean_teacher import MeanTeacher
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON, nnUNetTrainerMeanTeacher
from nnunetv2_dycon.training.ignored_voxels import join_partly_labeled_cases, settings_in_force
from nnunetv2_dycon.training.unlabeled_stream import nnUNetUnlabeledDataset
from tests.settings import FULL_WEIGHTS_AT_ONCE

if TYPE_CHECKING:
    from tests.conftest import Workspace

IGNORE = 3
SETTING = "ignored_voxels_as_unlabeled"
# Of the training cases of fold 0, and a validation case.
PARTLY_LABELED = ["demo_001", "demo_003"]
VALIDATION = "demo_004"
UNLABELED = ["demo_006", "demo_007", "demo_008", "demo_009"]


def change_segmentation(workspace: Workspace, case: str, change: Callable[[np.ndarray], None]) -> None:
    """Change a preprocessed segmentation (1, X, Y, Z) and what nnU-Net's preprocessor notes of it."""
    folder = workspace.preprocessed / "nnUNetPlans_3d_fullres"
    file = folder / f"{case}_seg.b2nd"
    segmentation = blosc2.open(str(file))[:]
    file.unlink()
    change(segmentation)
    blosc2.asarray(segmentation, urlpath=str(file))
    properties = load_pickle(str(folder / f"{case}.pkl"))
    has_regions = "regions_class_order" in workspace.read_dataset_json()
    classes = [(1, 2), 2] if has_regions else [1, 2]
    properties["class_locations"] = DefaultPreprocessor._sample_foreground_locations(
        segmentation, [*classes, (-1, 0, 1, 2)]
    )
    write_pickle(properties, str(folder / f"{case}.pkl"))


def keep_every_third_slice(segmentation: np.ndarray) -> None:
    segmentation[:, np.arange(segmentation.shape[1]) % 3 != 1] = IGNORE


def ignore_voxels(workspace: Workspace, *, regions: bool = False) -> Workspace:
    """Introduce the ignore label, which two training cases and one for validation have."""
    workspace.write_labels(regions=regions, ignores=True)
    for index in range(6):
        case = f"demo_{index:03d}"
        is_partly = case in [*PARTLY_LABELED, VALIDATION]
        change_segmentation(workspace, case, keep_every_third_slice if is_partly else lambda _: None)
    return workspace


@pytest.fixture
def partly_labeled(workspace: Workspace) -> Workspace:
    """A dataset of partly labeled cases; see ignore_voxels."""
    return ignore_voxels(workspace)


@pytest.mark.parametrize("regions", [False, True])
def test_they_are_trained_on_without_other_unlabeled_scans(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer], regions: bool
) -> None:
    ignore_voxels(workspace, regions=regions)
    shutil.rmtree(workspace.raw / "imagesUnlabeled")
    workspace.write_settings("nnUNetPlansPartly", fecl_weight=0.1, **FULL_WEIGHTS_AT_ONCE)
    trainer = make_trainer(nnUNetTrainerDyCON, "nnUNetPlansPartly")
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    assert trainer.unlabeled_data.partly_labeled == PARTLY_LABELED
    for _ in range(3):
        loss = trainer.train_step(next(trainer.dataloader_train))["loss"]
        means = trainer.statistics.pop_means()
        assert math.isfinite(loss)
        assert all(math.isfinite(means[name]) and means[name] > 0 for name in ("uncl_loss", "fecl_loss"))
    keys = {key for _ in range(10) for key in next(trainer.unlabeled_stream)["keys"]}
    assert keys == set(PARTLY_LABELED)
    text = Path(trainer.log_file).read_text()
    assert "4 labeled and 0 unlabeled training cases, 2 validation cases. 2 of the labeled training cases are" in text
    assert "are partly annotated and join the unlabeled ones, as images without labels: 2 in all." in text
    assert text.count("Using splits from existing split file") == 1
    assert "ignored_voxels_as_unlabeled: True" in text


@pytest.mark.usefixtures("partly_labeled")
def test_they_join_the_unlabeled_scans_also_in_fold_all(make_trainer: Callable[..., nnUNetTrainer]) -> None:
    trainer = make_trainer(nnUNetTrainerMeanTeacher, fold="all")
    trainer.on_train_start()
    assert trainer.unlabeled_data.identifiers == UNLABELED
    keys = {key for _ in range(40) for key in next(trainer.unlabeled_stream)["keys"]}
    assert keys == {*PARTLY_LABELED, VALIDATION, *UNLABELED}


def test_off_nothing_joins_and_no_segmentation_is_searched(
    partly_labeled: Workspace, make_trainer: Callable[..., nnUNetTrainer]
) -> None:
    partly_labeled.write_settings("nnUNetPlansOff", ignored_voxels_as_unlabeled=False)
    trainer = make_trainer(nnUNetTrainerDyCON, "nnUNetPlansOff")
    trainer.on_train_start()
    assert trainer.unlabeled_data.partly_labeled == []
    assert {key for _ in range(10) for key in next(trainer.unlabeled_stream)["keys"]} <= set(UNLABELED)
    shutil.rmtree(partly_labeled.raw / "imagesUnlabeled")
    with pytest.raises(UserError, match="has no unlabeled scans"):
        make_trainer(nnUNetTrainerDyCON, "nnUNetPlansOff").on_train_start()


def test_without_an_ignored_voxel_there_have_to_be_unlabeled_scans(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]
) -> None:
    workspace.write_labels(ignores=True)
    shutil.rmtree(workspace.raw / "imagesUnlabeled")
    with pytest.raises(UserError, match="has no unlabeled scans"):
        make_trainer(nnUNetTrainerDyCON).on_train_start()


def views(make_trainer: Callable[..., nnUNetTrainer], plans: str) -> list[torch.Tensor]:
    """The first batches of a stream that has partly labeled cases alone, from one seed."""
    trainer = make_trainer(nnUNetTrainerDyCON, plans)
    trainer.on_train_start()
    np.random.seed(1)  # noqa: NPY002 (nnU-Net's loaders draw from it)
    torch.manual_seed(1)
    return [next(trainer.unlabeled_stream)["data"] for _ in range(3)]


@pytest.mark.parametrize("masked", [False, True])
def test_the_stream_reads_no_label_of_them(
    partly_labeled: Workspace, make_trainer: Callable[..., nnUNetTrainer], masked: bool
) -> None:
    workspace = partly_labeled
    shutil.rmtree(workspace.raw / "imagesUnlabeled")
    plans = workspace.read_plans()
    plans["configurations"]["3d_fullres"]["use_mask_for_norm"] = [masked]
    workspace.write_plans(plans, "nnUNetPlansMasked")

    def put_corner_outside(segmentation: np.ndarray) -> None:
        segmentation[:, :10, :14] = -1

    def invent_labels(segmentation: np.ndarray) -> None:
        inside = segmentation >= 0
        segmentation[inside] = np.random.default_rng(0).integers(0, 4, inside.sum())

    for case in PARTLY_LABELED:
        change_segmentation(workspace, case, put_corner_outside)
    before = views(make_trainer, "nnUNetPlansMasked")
    for case in PARTLY_LABELED:
        change_segmentation(workspace, case, invent_labels)
    after = views(make_trainer, "nnUNetPlansMasked")
    assert all(torch.equal(*batches) for batches in zip(before, after, strict=True))
    # In whole blocks, where the image is masked after augmentation.
    assert (torch.stack(before)[:, :, 1] == 0).float().mean() > 0.05 or not masked


def test_their_images_are_those_of_the_labeled_folder(
    partly_labeled: Workspace, make_trainer: Callable[..., nnUNetTrainer]
) -> None:
    folder = partly_labeled.preprocessed / "nnUNetPlans_3d_fullres"
    trainer = make_trainer(nnUNetTrainerDyCON)
    trainer.do_split()
    for needs_nonzero_mask in (False, True):
        unlabeled = nnUNetUnlabeledDataset(str(folder), [], needs_nonzero_mask)
        dataset = join_partly_labeled_cases(unlabeled, trainer, PARTLY_LABELED)
        assert dataset.identifiers == PARTLY_LABELED
        image, mask, previous_stage, properties = dataset.load_case("demo_001")
        assert np.array_equal(image[:], blosc2.open(str(folder / "demo_001.b2nd"))[:])
        assert mask.shape == (1, *image.shape[1:])
        assert set(np.unique(mask[:, :, :, :])) <= {-1, 0}
        assert previous_stage is None
        assert properties == {"class_locations": None}


def test_the_setting_counts_only_where_there_is_an_ignore_label(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]
) -> None:
    def label_manager() -> object:
        return make_trainer(nnUNetTrainer).label_manager

    settings = DyCONSettings()
    assert not settings_in_force(settings, label_manager()).ignored_voxels_as_unlabeled
    workspace.write_labels(ignores=True)
    assert settings_in_force(settings, label_manager()) is settings
    # Trainings of earlier releases are resumed where nothing differs.
    before = {name: value for name, value in dataclasses.asdict(settings).items() if name != SETTING}
    assert settings.differences(before, "0.1.0") == [
        f"{SETTING}: False there, which 0.1.0 did without this setting, True now"
    ]
    assert DyCONSettings(ignored_voxels_as_unlabeled=False).differences(before, "0.1.0") == []


def test_every_method_has_the_setting() -> None:
    assert MeanTeacher.settings_class().ignored_voxels_as_unlabeled
