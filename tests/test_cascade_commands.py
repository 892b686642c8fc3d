"""Command lines around a cascade, as a user runs them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import SimpleITK as sitk
from nnunetv2.inference.predict_from_raw_data import predict_entry_point

from nnunetv2_dycon.commands.main import main
from tests.cascade import CASCADE, LOW_RESOLUTION, PLANS, copy_model, note_training_cases

if TYPE_CHECKING:
    from tests.conftest import Workspace

TRAINER = "nnUNetTrainerDyCONShort"
MODEL = ("-tr", TRAINER, "-p", PLANS)


@pytest.fixture
def workspace(workspace: Workspace, trained_low_resolution: Path) -> Workspace:
    shutil.copytree(trained_low_resolution, workspace.root, dirs_exist_ok=True)
    return workspace


@pytest.fixture
def predict(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that runs nnUNetv2_predict on the test scans, in this process."""

    def run(configuration: str, output: Path, *more: object) -> None:
        data = ("-i", workspace.raw / "imagesTs", "-o", output, "-npp", 0, "-nps", 0, "-device", "cpu")
        model = ("-d", 501, "-c", configuration, "-f", 0, *MODEL)
        monkeypatch.setattr(sys, "argv", ["nnUNetv2_predict", *map(str, (*model, *data, *more))])
        output.mkdir()
        predict_entry_point()

    return run


def test_the_second_stage_is_trained_and_predicts(
    workspace: Workspace, predict: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy_model(workspace, TRAINER)
    output = workspace.run("nnUNetv2_train", 501, CASCADE, 0, *MODEL, "-device", "cpu")
    low_resolution = workspace.results / f"{TRAINER}__{PLANS}__{LOW_RESOLUTION}"
    assert f"{low_resolution}/fold_0/checkpoint_final.pth predicted 4 unlabeled cases into" in output
    fold = workspace.results / f"{TRAINER}__{PLANS}__{CASCADE}" / "fold_0"
    assert (fold / "validation" / "summary.json").is_file()
    predict(LOW_RESOLUTION, tmp_path / "first")
    predict(CASCADE, tmp_path / "second", "-prev_stage_predictions", tmp_path / "first")
    for case in ("demo_010", "demo_011"):
        image = sitk.ReadImage(str(workspace.raw / "imagesTs" / f"{case}_0000.nii.gz"))
        for folder in ("first", "second"):
            assert sitk.ReadImage(str(tmp_path / folder / f"{case}.nii.gz")).GetSize() == image.GetSize()

    # What depends on a prediction of the first stage that has changed since is done again.
    model = ("-d", "501", "-c", CASCADE, "-f", "0", *MODEL, "-prev_stage_predictions", str(tmp_path / "first"))
    data = ("-i", str(workspace.raw / "imagesTs"), "-o", str(tmp_path / "uncertainty"), "-device", "cpu")
    command = ["uncertainty", *model, *data, "-npp", "1", "--disable_tta", "--continue_prediction"]
    assert main(command) == 0
    shutil.copyfile(tmp_path / "second" / "demo_010.nii.gz", tmp_path / "first" / "demo_010.nii.gz")
    for done in (1, 2):
        assert main(command) == 0
        assert f"{done} of 2 cases are done" in capsys.readouterr().out


def test_preprocess_makes_both_stages_ready(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in workspace.preprocessed.glob("*_unlabeled"):
        shutil.rmtree(folder)
    assert main(["preprocess", "-d", "501", "-p", PLANS, "-c", CASCADE, "-np", "1"]) == 0
    output = capsys.readouterr().out
    for name in (LOW_RESOLUTION, CASCADE):
        assert f"{name}: 4 unlabeled cases are ready in" in output


@pytest.mark.usefixtures("workspace")
def test_doctor_looks_at_both_stages(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "-d", "501", "-p", PLANS, "-c", CASCADE])
    output = capsys.readouterr().out
    assert "[ok] 0 of 4 unlabeled cases are preprocessed" in output
    assert "[ok] 3d_cascade_fullres is the second stage of a cascade; the first one is 3d_lowres:" in output
    assert "[ok] 4 of 4 unlabeled cases are preprocessed" in output
    assert "[ok] trained models of 3d_lowres: nnUNetTrainerDyCON fold_0, nnUNetTrainerDyCON fold_all" in output


def test_doctor_says_what_to_train_first(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(workspace.results / f"nnUNetTrainerDyCON__{PLANS}__{LOW_RESOLUTION}")
    with pytest.raises(SystemExit, match="1"):
        main(["doctor", "-d", "501", "-p", PLANS, "-c", CASCADE])
    assert "[to do] trained models of 3d_lowres: none: train it on all folds before" in capsys.readouterr().out


def test_plans_with_other_settings_are_trained_from_the_first_stage_on(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["plan", "-d", "501", "-p", PLANS, "-c", CASCADE, "-o", "nnUNetPlansLow", "uncl_weight=2"]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    names = (LOW_RESOLUTION, CASCADE)
    options = "-tr nnUNetTrainerDyCON -p nnUNetPlansLow -device cpu"
    assert lines[-2:] == [f"nnUNetv2_train 501 {name} 0 {options}" for name in names]
    settings = workspace.read_plans("nnUNetPlansLow")["configurations"][CASCADE]["dycon"]
    assert settings["uncl_weight"] == 2


def test_unlabeled_scans_are_not_predicted_by_a_model_that_knows_labels_of_its_fold(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["predict-next-stage", "-d", "501", "-p", PLANS, "-f", "0", "-tr", "nnUNetTrainerDyCON"]
    workspace.write_splits({"train": ["demo_000"], "val": ["demo_001"]})
    fold = workspace.results / f"nnUNetTrainerDyCON__{PLANS}__{LOW_RESOLUTION}" / "fold_0"
    note_training_cases(fold, ["demo_000", "demo_001"])
    assert main([*command, "-device", "cpu"]) == 1
    assert "of fold 0, has demo_001 now, and the model in" in capsys.readouterr().err
    assert not (fold.parent / "predicted_next_stage_unlabeled").exists()


def test_export_of_the_second_stage_asks_for_the_first(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = workspace.results / f"nnUNetTrainerDyCON__{PLANS}__{LOW_RESOLUTION}"
    command = ["export", "-d", "501", "-p", PLANS, "-f", "0"]
    assert main([*command, "-c", LOW_RESOLUTION, "-o", str(tmp_path / "first")]) == 0
    assert "-prev_stage_predictions" not in capsys.readouterr().out
    # What is exported does not depend on the stage.
    shutil.copytree(model, model.with_name(model.name.replace(LOW_RESOLUTION, CASCADE)))
    assert main([*command, "-c", CASCADE, "-o", str(tmp_path / "second")]) == 0
    assert "predictions of 3d_lowres (-prev_stage_predictions): export that model too" in capsys.readouterr().out


def test_self_training_needs_the_data_of_the_next_stage_and_takes_no_cascade(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    # Of which no model is trained yet.
    command = ["self-train", "-d", "501", "-o", "502", "-tr", "nnUNetTrainer", "-p", PLANS, "-device", "cpu"]
    assert main([*command, "-c", CASCADE]) == 1
    assert "self-training does not support cascades" in capsys.readouterr().err
    shutil.rmtree(workspace.preprocessed / "nnUNetPlans_3d_fullres")
    assert main([*command, "-c", LOW_RESOLUTION]) == 1
    assert f"nnUNetv2_preprocess -d 501 -c {CASCADE} -plans_name {PLANS}" in capsys.readouterr().err
