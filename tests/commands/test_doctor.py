"""``nnunetv2_dycon doctor``."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from nnunetv2_dycon.commands.main import main

if TYPE_CHECKING:
    from tests.conftest import Workspace


def test_a_good_installation_and_dataset(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "-d", "501"]) == 0
    output = capsys.readouterr().out
    assert "[problem]" not in output
    assert "[ok] nnU-Net finds nnUNetTrainerDyCON\n" in output
    assert f"[ok] nnUNet_raw={workspace.raw.parent}\n" in output
    assert "[ok] 6 labeled and 4 unlabeled cases\n" in output


@pytest.mark.usefixtures("workspace")
def test_problems_are_counted_and_end_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("nnUNet_results")
    assert main(["doctor", "-d", "501", "-p", "nnUNetPlansX"]) == 1
    captured = capsys.readouterr()
    assert captured.out.count("[problem]") == captured.out.count("[to do]") == 1
    assert captured.err == "Error: 1 problem and 1 thing to do, marked above.\n"
    with pytest.raises(SystemExit, match="1"):
        main(["doctor", "-d", "501"])
    assert capsys.readouterr().err == ""


def test_what_every_installation_leaves_to_do_is_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SystemExit, match="1"):
        main(["doctor"])
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.count("[to do]") == 4
    assert captured.out.endswith("No problem was found. What is marked [to do] comes next.\n")


def test_a_dataset_that_is_not_planned_is_counted(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(workspace.preprocessed)
    with pytest.raises(SystemExit, match="1"):
        main(["doctor", "-d", "501"])
    captured = capsys.readouterr()
    assert "[ok] 6 labeled and 4 unlabeled cases\n" in captured.out
    (line,) = (line for line in captured.out.splitlines() if line.startswith("[to do]"))
    assert "Plan the dataset first: nnUNetv2_plan_and_preprocess -d 501" in line
    assert captured.err == ""

    (workspace.raw / "labelsTr" / "demo_001.nii.gz").unlink()
    image = workspace.raw / "imagesTr" / "demo_002_0000.nii.gz"
    shutil.copy(image, workspace.raw / "imagesUnlabeled")
    dataset_json = json.loads((workspace.raw / "dataset.json").read_text())
    (workspace.raw / "dataset.json").write_text(json.dumps({**dataset_json, "numTraining": 7}))
    assert main(["doctor", "-d", "501"]) == 1
    captured = capsys.readouterr()
    assert f"{workspace.raw}/labelsTr/demo_001.nii.gz is not there: add what is missing" in captured.out
    assert "demo_002: in imagesTr and in imagesUnlabeled; remove one of the two" in captured.out
    assert f"dataset.json has numTraining 7, and {workspace.raw} 6 labeled cases" in captured.out
    assert captured.err == "Error: 3 problems and 1 thing to do, marked above.\n"

    (workspace.raw / "imagesUnlabeled").rename(workspace.raw / "images_unlabeled")
    main(["doctor", "-d", "501"])
    assert "Its name must be imagesUnlabeled: rename it." in capsys.readouterr().out


@pytest.mark.usefixtures("workspace")
def test_without_a_dataset_none_is_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    assert "Dataset501" not in capsys.readouterr().out
