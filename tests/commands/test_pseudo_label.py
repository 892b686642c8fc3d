"""``nnunetv2_dycon pseudo-label``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import SimpleITK as sitk

from nnunetv2_dycon.commands.main import main

if TYPE_CHECKING:
    from tests.conftest import Workspace


@pytest.fixture
def predictions(workspace: Workspace, tmp_path: Path) -> Path:
    folder = tmp_path / "predictions"
    folder.mkdir()
    for index in range(6, 10):
        shutil.copyfile(workspace.raw / "labelsTr" / "demo_000.nii.gz", folder / f"demo_{index:03d}.nii.gz")
    return folder


@pytest.mark.parametrize("options", [[], ["--copy", "--all_components"]])
def test_the_dataset_is_ready_for_moved_plans(
    workspace: Workspace, predictions: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(6):
        image = sitk.ReadImage(str(workspace.raw / "labelsTr" / f"demo_{index:03d}.nii.gz")) * 0
        image[2:5, 2:5, 2:5] = 1
        sitk.WriteImage(image, str(workspace.raw / "labelsTr" / f"demo_{index:03d}.nii.gz"))
    image[7, 7, 7] = 1
    sitk.WriteImage(image, str(predictions / "demo_006.nii.gz"))
    command = ["pseudo-label", "-d", "501", "-i", str(predictions), "-o", "502", *options]
    assert main(command) == 0
    raw = workspace.raw.with_name("Dataset502_Tiny_self_training")
    made = sitk.ReadImage(str(raw / "labelsTr" / "demo_006.nii.gz"))
    assert made[3, 3, 3] == 1
    assert made[7, 7, 7] == (1 if options else 0)
    assert f"{raw}: 6 labeled and 4 pseudo-labeled cases." in capsys.readouterr().out
    assert (raw / "imagesTr" / "demo_000_0000.nii.gz").is_symlink() is (not options)
    preprocessed = workspace.preprocessed.with_name(raw.name)
    assert {file.name for file in preprocessed.iterdir()} == {"dataset.json", "splits_final.json"}
    assert json.loads((preprocessed / "dataset.json").read_text())["numTraining"] == 10
    (split,) = json.loads((preprocessed / "splits_final.json").read_text())
    assert split["train"] == [f"demo_{index:03d}" for index in (0, 1, 2, 3, 6, 7, 8, 9)]
    assert split["val"] == ["demo_004", "demo_005"]


def test_labels_that_are_off_limits_stop_it_before_anything_is_made(
    workspace: Workspace, predictions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace.write_splits({"train": ["demo_000"], "val": ["demo_001"], "unlabeled": ["demo_002"]})
    assert main(["pseudo-label", "-d", "501", "-i", str(predictions), "-o", "502"]) == 1
    assert "off limits" in capsys.readouterr().err
    assert [folder.name for folder in workspace.raw.parent.iterdir()] == [workspace.raw.name]
