"""The low-resolution model predicts the unlabeled cases for the next stage."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import blosc2
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.commands.main import main
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON
from nnunetv2_dycon.training import start
from nnunetv2_dycon.training.previous_stage import PreviousStage, previous_stage_of
from tests.cascade import CASCADE, LOW_RESOLUTION, PLANS

if TYPE_CHECKING:
    from tests.conftest import Workspace

UNLABELED = [f"demo_{i:03d}" for i in range(6, 10)]
OFF_LIMITS = ["demo_002", "demo_003"]
COMMAND = ["predict-next-stage", "-d", "501", "-p", PLANS, "-f", "0", "-device", "cpu", "-np", "1"]


@pytest.fixture
def workspace(workspace: Workspace, trained_low_resolution: Path) -> Workspace:
    shutil.copytree(trained_low_resolution, workspace.root, dirs_exist_ok=True)
    return workspace


@pytest.fixture
def stage(make_trainer: Callable[..., nnUNetTrainer]) -> PreviousStage:
    return previous_stage_of(make_trainer(nnUNetTrainerDyCON, PLANS, CASCADE))


def labels(folder: Path) -> dict[str, np.ndarray]:
    return {file.stem: blosc2.open(str(file), mode="r")[:] for file in sorted(folder.glob("*.b2nd"))}


def predicted(capsys: pytest.CaptureFixture[str]) -> str | None:
    """How many cases the command predicted, None for none."""
    assert main(COMMAND) == 0
    lines = [
        line for line in capsys.readouterr().out.splitlines() if "predicted" in line and "unlabeled cases into" in line
    ]
    return lines[0].split(" predicted ")[1].split()[0] if lines else None


def test_the_prediction_is_that_of_nnunet_for_labeled_cases(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer], stage: PreviousStage
) -> None:
    workspace.write_splits({"train": ["demo_000", "demo_001"], "val": ["demo_004"], "unlabeled": OFF_LIMITS})
    start.prepare_unlabeled_cases(make_trainer(nnUNetTrainerDyCON, PLANS, CASCADE))
    ours, theirs = labels(stage.unlabeled_predictions), labels(stage.labeled_predictions)
    assert list(ours) == sorted([*OFF_LIMITS, *UNLABELED])
    for case in OFF_LIMITS:
        assert len(np.unique(theirs[case])) > 1
        assert np.array_equal(ours[case], theirs[case])


@pytest.mark.usefixtures("workspace")
def test_what_is_done_is_not_done_again_and_what_changed_is(
    workspace: Workspace, stage: PreviousStage, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stage.unlabeled_predictions
    assert predicted(capsys) == "4"
    first = labels(folder)
    assert not list(folder.glob(".partial*"))
    assert predicted(capsys) is None
    (folder / "demo_006.b2nd").write_bytes(b"cut")
    (folder / "demo_007.json").write_text("{")
    (folder / "demo_008.b2nd").unlink()
    assert predicted(capsys) == "3"
    for case, array in labels(folder).items():
        assert np.array_equal(array, first[case])
    file = workspace.raw / "imagesUnlabeled" / "demo_009_0000.nii.gz"
    image = sitk.ReadImage(str(file))
    changed = sitk.GetImageFromArray(sitk.GetArrayFromImage(image)[::-1])
    changed.CopyInformation(image)
    sitk.WriteImage(changed, str(file))
    assert predicted(capsys) == "1"
    assert not np.array_equal(labels(folder)["demo_009"], first["demo_009"])
    checkpoint = torch.load(stage.checkpoint, weights_only=False)
    for name, weights in checkpoint["network_weights"].items():
        if name.endswith("seg_layers.1.bias"):
            weights[0] += 100
    torch.save(checkpoint, stage.checkpoint)
    assert predicted(capsys) == "4"
    assert not any(array.any() for array in labels(folder).values())


@pytest.mark.usefixtures("workspace")
def test_processes_write_the_same(stage: PreviousStage, capsys: pytest.CaptureFixture[str]) -> None:
    assert predicted(capsys) == "4"
    by_one = labels(stage.unlabeled_predictions)
    shutil.rmtree(stage.unlabeled_predictions)
    assert main([*COMMAND, "-np", "2"]) == 0
    by_two = labels(stage.unlabeled_predictions)
    assert by_one.keys() == by_two.keys()
    assert all(np.array_equal(array, by_two[case]) for case, array in by_one.items())


def test_a_model_of_other_preprocessing_is_refused(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]
) -> None:
    plans = workspace.read_plans(PLANS)
    plans["configurations"][LOW_RESOLUTION]["spacing"] = [3, 3, 3]
    workspace.write_plans(plans, PLANS)
    with pytest.raises(UserError, match="preprocessed otherwise"):
        start.prepare_unlabeled_cases(make_trainer(nnUNetTrainerDyCON, PLANS, CASCADE))


def test_data_that_were_preprocessed_elsewhere_are_asked_for(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer], stage: PreviousStage
) -> None:
    start.prepare_unlabeled_cases(make_trainer(nnUNetTrainerDyCON, PLANS, CASCADE))
    shutil.rmtree(stage.unlabeled_predictions)
    shutil.rmtree(workspace.raw)
    (low,) = workspace.preprocessed.glob(f"*{LOW_RESOLUTION}_unlabeled/*")
    for file in low.glob("demo_006*"):
        file.unlink()
    with pytest.raises(UserError, match=f"Copy .* after: nnunetv2_dycon preprocess -d 501 -c 3d_lowres -p {PLANS}$"):
        start.prepare_unlabeled_cases(make_trainer(nnUNetTrainerDyCON, PLANS, CASCADE))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-np", "0"], "-np must be at least 1, not 0"),
        (["-f", "first"], "-f must be a number or all, not first"),
        (["-f", "1"], "too): nnUNetv2_train 501 3d_lowres 1 -tr nnUNetTrainerDyCON"),
        (["-c", "3d_fullres"], "has no next stage: only a cascade needs predictions"),
        (["-tr", "nnUNetTrainer"], "is not a semi-supervised trainer"),
        (["-device", "cuda"], "finds no cuda device"),
        (["-device", "mps"], "finds no mps device"),
    ],
)
@pytest.mark.usefixtures("workspace")
def test_bad_arguments_are_named(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*COMMAND, *arguments]) == 1
    assert message in capsys.readouterr().err
