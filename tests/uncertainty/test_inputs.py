"""What is refused before the first prediction."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.uncertainty.inputs import TrainedModel, find_scans, read_model
from tests.conftest import Workspace
from tests.uncertainty.models import CHECKPOINT, write_model


@pytest.fixture
def model_folder(workspace: Workspace) -> Path:
    return write_model(workspace)


def model_of(channels: int = 2, ending: str = ".nii.gz", previous_stage: str | None = None) -> TrainedModel:
    dataset_json = {"channel_names": {str(index): "MRI" for index in range(channels)}, "file_ending": ending}
    return TrainedModel(Path("model"), (0,), CHECKPOINT, dataset_json, previous_stage)


def make_files(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()


def test_folds_are_all_that_are_trained_or_those_that_are_named(model_folder: Path) -> None:
    shutil.copytree(model_folder / "fold_0", model_folder / "fold_all")
    (model_folder / "fold_2").mkdir()
    assert read_model(model_folder, (), CHECKPOINT).folds == (0, 1)
    assert read_model(model_folder, ["1", "all"], CHECKPOINT).folds == (1, "all")


@pytest.mark.parametrize(
    ("folds", "checkpoint", "message"),
    [
        (
            ["0", "3"],
            CHECKPOINT,
            r"fold_3/checkpoint_final\.pth: not there\. Train these folds, or correct -f or -chk",
        ),
        (["first"], CHECKPOINT, "-f must be numbers or all, not first"),
        (["0", "1", "0"], CHECKPOINT, "-f names the fold 0 twice"),
        ([], "checkpoint_best.pth", r"No numbered fold of .* has a checkpoint_best\.pth"),
        ([], "../checkpoint_final.pth", "does not name a checkpoint"),
    ],
)
def test_folds_and_checkpoints_that_are_refused(
    model_folder: Path, folds: list[str], checkpoint: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read_model(model_folder, folds, checkpoint)


def test_a_folder_without_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not a trained model: there is no plans\.json"):
        read_model(tmp_path, (), CHECKPOINT)


def test_damaged_and_foreign_checkpoints_are_refused(model_folder: Path) -> None:
    file = model_folder / "fold_1" / CHECKPOINT
    checkpoint = torch.load(file, weights_only=False)
    torch.save({**checkpoint, "trainer_name": "nnUNetTrainerNoMirroring"}, file)
    with pytest.raises(UserError, match=r"fold_0.* and .*fold_1.* are of different models"):
        read_model(model_folder, (), CHECKPOINT)
    torch.save({**checkpoint, "trainer_name": "nnUNetTrainerOfNobody"}, file)
    with pytest.raises(UserError, match="nnUNetTrainerOfNobody"):
        read_model(model_folder, ["1"], CHECKPOINT)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(UserError, match="cannot be read as a checkpoint"):
        read_model(model_folder, (), CHECKPOINT)


def test_a_configuration_that_the_plans_lack_is_refused(model_folder: Path) -> None:
    plans = json.loads((model_folder / "plans.json").read_text())
    del plans["configurations"]["3d_fullres"]
    (model_folder / "plans.json").write_text(json.dumps(plans))
    with pytest.raises(UserError, match="3d_fullres"):
        read_model(model_folder, (), CHECKPOINT)


def test_scans_are_found_by_case_and_channel(tmp_path: Path) -> None:
    make_files(
        tmp_path, "b_0001.nii.gz", "b_0000.nii.gz", "a_0000.nii.gz", "a_0001.nii.gz", "notes.txt", "._a_0000.nii.gz"
    )
    names = {case: [file.name for file in files] for case, files in find_scans(tmp_path, model_of()).items()}
    assert names == {"a": ["a_0000.nii.gz", "a_0001.nii.gz"], "b": ["b_0000.nii.gz", "b_0001.nii.gz"]}
    assert list(names) == ["a", "b"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], r"has no scans: nnU-Net expects CASE_0000\.nii\.gz there"),
        (["a_0000.nrrd"], "has no scans"),
        (["a_0000.nii.gz", "a_0001.nii.gz", "scan.nii.gz"], r"scan\.nii\.gz is not named like a scan"),
        (["a_0000.nii.gz"], "has the channels 0000, but the model needs 2"),
        (["a_0001.nii.gz", "a_0002.nii.gz"], "has the channels 0001, 0002, but the model needs 2"),
        (["a_0000.nii.gz", "a_0001.nii.gz", "a_0002.nii.gz"], "or remove what is too much"),
    ],
)
def test_scans_that_are_refused(tmp_path: Path, files: list[str], message: str) -> None:
    make_files(tmp_path, *files)
    with pytest.raises(UserError, match=message):
        find_scans(tmp_path, model_of())


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="missing is not a folder"):
        find_scans(tmp_path / "missing", model_of())


def test_natural_images_may_hold_all_channels(tmp_path: Path) -> None:
    make_files(tmp_path, "a_0000.png")
    assert list(find_scans(tmp_path, model_of(3, ".png"))) == ["a"]


def test_a_cascade_needs_the_predictions_of_all_scans(tmp_path: Path) -> None:
    scans, stage = tmp_path / "scans", tmp_path / "stage"
    make_files(scans, "a_0000.nii.gz", "b_0000.nii.gz")
    make_files(stage, "a.nii.gz")
    cascade = model_of(1, previous_stage="3d_lowres")
    with pytest.raises(UserError, match="needs the predictions of 3d_lowres"):
        find_scans(scans, cascade)
    with pytest.raises(UserError, match=r"b\.nii\.gz is not there: predict all scans with 3d_lowres first"):
        find_scans(scans, cascade, stage)
    make_files(stage, "b.nii.gz")
    assert list(find_scans(scans, cascade, stage)) == ["a", "b"]
    with pytest.raises(UserError, match="is no cascade"):
        find_scans(scans, model_of(1), stage)
