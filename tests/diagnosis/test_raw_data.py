"""Diagnosis of a dataset in nnUNet_raw, before it is planned and after."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nnunetv2_dycon.diagnosis.dataset import diagnose_dataset
from nnunetv2_dycon.diagnosis.raw_data import diagnose_raw_data

if TYPE_CHECKING:
    from tests.conftest import Workspace


def change_dataset_json(raw: Path, **entries: object) -> None:
    file = raw / "dataset.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **entries}))


def rename(raw: Path, old: str, new: str) -> None:
    (raw / old).rename(raw / new)


def empty(raw: Path, name: str) -> None:
    for file in (raw / name).iterdir():
        file.unlink()


def link_to_nothing(raw: Path, name: str) -> None:
    (raw / name).unlink(missing_ok=True)
    (raw / name).symlink_to("/nowhere/scan.nii.gz")


FAULTS: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "a label that is gone": (
        lambda raw: (raw / "labelsTr" / "demo_001.nii.gz").unlink(),
        ["{raw}/labelsTr/demo_001.nii.gz is not there: add what is missing, or remove the images"],
    ),
    "labels that are gone": (
        lambda raw: empty(raw, "labelsTr"),
        ["{raw}/labelsTr/demo_000.nii.gz, {raw}/labelsTr/demo_001.nii.gz, {raw}/labelsTr/demo_002.nii.gz, "],
    ),
    "a labeled scan that is misnamed": (
        lambda raw: rename(raw, "imagesTr/demo_000_0000.nii.gz", "imagesTr/demo_000.nii.gz"),
        [
            "demo_000.nii.gz of {raw}/imagesTr is not named like a scan, which is CASE_0000.nii.gz: rename or remove",
            "dataset.json has numTraining 6, and {raw} 5 labeled cases: correct the one that is wrong",
        ],
    ),
    "a labeled scan with a channel too many": (
        lambda raw: shutil.copy(raw / "imagesTr/demo_000_0000.nii.gz", raw / "imagesTr/demo_000_0001.nii.gz"),
        [
            "imagesTr: demo_000 with more than 1 channel: remove what is too much, or name it in channel_names. The "
            "four digits at the end of a name are the channel: if demo_000_0001.nii.gz is a whole scan, rename it to "
        ],
    ),
    "a labeled scan whose first channel is missing": (
        lambda raw: rename(raw, "imagesTr/demo_003_0000.nii.gz", "imagesTr/demo_003_0001.nii.gz"),
        ["{raw}/imagesTr/demo_003* has the channels 0001: add the missing files, or remove the case"],
    ),
    "two misnamed unlabeled scans": (
        lambda raw: [
            shutil.copy(raw / "imagesTr/demo_000_0000.nii.gz", raw / "imagesUnlabeled" / name)
            for name in ("a.nii.gz", "b.nii.gz", "c.nii")
        ],
        [
            "{raw}/imagesUnlabeled/a.nii.gz, {raw}/imagesUnlabeled/b.nii.gz are not named like a scan of this dataset. "
            "Name them CASE_0000.nii.gz (one file a channel, as in imagesTr), or move them out of imagesUnlabeled."
        ],
    ),
    "two faults among the unlabeled scans": (
        lambda raw: [
            shutil.copy(raw / "imagesTr/demo_000_0000.nii.gz", raw / "imagesUnlabeled" / name)
            for name in ("extra.nii.gz", "two_0000.nii.gz", "two_0001.nii.gz")
        ],
        [
            "{raw}/imagesUnlabeled/extra.nii.gz is not named like a scan of this dataset. Name it CASE_0000.nii.gz ",
            "the unlabeled case two cannot be used: {raw}/imagesUnlabeled/two_0001.nii.gz is a channel beyond the 1 ",
        ],
    ),
    "an unlabeled scan that is a link to nothing": (
        lambda raw: link_to_nothing(raw, "imagesUnlabeled/new_0000.nii.gz"),
        ["{raw}/imagesUnlabeled/new_0000.nii.gz is not there, or a link to nothing: correct or remove it"],
    ),
    "no labeled case": (
        lambda raw: (empty(raw, "imagesTr"), change_dataset_json(raw, numTraining=0)),
        ["there are no labeled cases in {raw}/imagesTr: nnU-Net needs some to learn from"],
    ),
    "no unlabeled scan": (
        lambda raw: empty(raw, "imagesUnlabeled"),
        ["there are no scans in {raw}/imagesUnlabeled. Put some there."],
    ),
    "a wrong number of cases": (
        lambda raw: change_dataset_json(raw, numTraining=7),
        ["dataset.json has numTraining 7, and {raw} 6 labeled cases: correct the one that is wrong"],
    ),
    "no number of cases": (
        lambda raw: (raw / "dataset.json").write_text((raw / "dataset.json").read_text().replace("numT", "t")),
        ["dataset.json has no numTraining, which nnU-Net plans with: write 6"],
    ),
}
# What does not matter once a dataset is planned, or its labeled cases are preprocessed.
ONLY_BEFORE = ("numTraining", "labelsTr", "no labeled cases")


@pytest.mark.parametrize("is_planned", [False, True])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_before_planning_and_after(workspace: Workspace, fault: str, is_planned: bool) -> None:
    if not is_planned:
        shutil.rmtree(workspace.preprocessed)
    make, expected = FAULTS[fault]
    make(workspace.raw)
    findings = list(diagnose_dataset("501", "nnUNetPlansSmall", "3d_fullres"))
    problems = sorted(finding.text for finding in findings if finding.is_problem)
    matters = [text for text in expected if not (is_planned and any(word in text for word in ONLY_BEFORE))]
    wanted = sorted(text.format(raw=workspace.raw) for text in matters)
    assert len(problems) == len(wanted), problems
    for problem, text in zip(problems, wanted, strict=True):
        assert problem.startswith(text)
    assert any(finding.is_to_do for finding in findings) == (not is_planned)


def test_without_a_folder_for_plans_the_cases_are_looked_at_too(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("nnUNet_preprocessed")
    (workspace.raw / "labelsTr" / "demo_001.nii.gz").unlink()
    label, variable = [f.text for f in diagnose_dataset("501", "nnUNetPlansSmall", "3d_fullres") if f.is_problem]
    assert label.startswith(f"{workspace.raw}/labelsTr/demo_001.nii.gz is not there: ")
    assert variable.startswith("the environment variable nnUNet_preprocessed is not set")


def test_a_case_that_is_labeled_and_not_preprocessed_is_used_by_nobody(workspace: Workspace) -> None:
    for folder, ending in (("imagesTr", "_0000.nii.gz"), ("labelsTr", ".nii.gz")):
        shutil.copy(workspace.raw / folder / f"demo_000{ending}", workspace.raw / folder / f"new{ending}")
    change_dataset_json(workspace.raw, numTraining=7)
    command = "nnUNetv2_preprocess -d 501 -c 3d_fullres -plans_name nnUNetPlansSmall"
    text = f"new: labeled, but not preprocessed, so that no training uses it: {command}"
    findings = list(diagnose_dataset("501", "nnUNetPlansSmall", "3d_fullres"))
    assert [finding.text for finding in findings if finding.is_problem] == [text]
    workspace.write_splits({"train": ["demo_000"], "val": ["demo_001"]})
    notes = [f.text for f in diagnose_dataset("501", "nnUNetPlansSmall", "3d_fullres") if f.is_note]
    assert len(notes) == 1
    assert notes[0].startswith("demo_002, demo_003, demo_004, demo_005: labeled, but in no fold of ")


def test_raw_data_that_have_changed_since_planning_are_told(workspace: Workspace) -> None:
    change_dataset_json(workspace.raw, channel_names={"0": "CT"})
    (problem,) = [f.text for f in diagnose_dataset("501", "nnUNetPlansSmall", "3d_fullres") if f.is_problem]
    assert problem.startswith(f"{workspace.raw}/dataset.json and the copy in {workspace.preprocessed} that trainings")
    assert "differ in channel_names: correct the first one, or plan and preprocess anew" in problem


def test_a_dataset_whose_json_lists_its_files(workspace: Workspace, tmp_path: Path) -> None:
    """They may lie anywhere; nnU-Net takes what is listed."""
    shutil.rmtree(workspace.preprocessed)
    shutil.move(workspace.raw / "imagesTr", tmp_path / "elsewhere")
    files = {
        f"demo_{i:03d}": {
            "images": [str(tmp_path / "elsewhere" / f"demo_{i:03d}_0000.nii.gz")],
            "label": f"labelsTr/demo_{i:03d}.nii.gz",
        }
        for i in range(6)
    }
    change_dataset_json(workspace.raw, dataset=files)
    findings = list(diagnose_dataset("501", "nnUNetPlansSmall", "3d_fullres"))
    assert findings[0].text == "6 labeled and 4 unlabeled cases"
    assert not any(finding.is_problem for finding in findings)
    gone = tmp_path / "elsewhere" / "demo_003_0000.nii.gz"
    gone.unlink()
    (problem,) = [f.text for f in diagnose_dataset("501", "nnUNetPlansSmall", "3d_fullres") if f.is_problem]
    assert problem == f"{gone} is not there, or a link to nothing: correct or remove it"


def test_files_that_nnunet_passes_over_are_a_note(workspace: Workspace) -> None:
    (workspace.raw / "imagesTr" / "demo_009_0000.nii").touch()
    (note,) = [f.text for f in diagnose_dataset("501", "nnUNetPlansSmall", "3d_fullres") if f.is_note]
    place = workspace.raw / "imagesTr"
    assert note == f"demo_009_0000.nii of {place} has another file ending than .nii.gz: nnU-Net passes over it"


def test_one_colour_image_too_many_is_told_of_its_case_alone(tmp_path: Path) -> None:
    for name in ("imagesTr/a_0000", "imagesTr/b_0000", "imagesTr/b_0001", "imagesTr/c_0000", "imagesUnlabeled/d_0000"):
        file = tmp_path / f"{name}.png"
        file.parent.mkdir(exist_ok=True)
        file.touch()
    (tmp_path / "imagesUnlabeled" / "d_0001.png").touch()
    (tmp_path / "labelsTr").mkdir()
    for case in "abc":
        (tmp_path / "labelsTr" / f"{case}.png").touch()
    channels = {"0": "R", "1": "G", "2": "B"}
    dataset_json = {"channel_names": channels, "labels": {}, "file_ending": ".png", "numTraining": 3}
    one, two = [finding.text for finding in diagnose_raw_data(tmp_path, dataset_json) if finding.is_problem]
    assert one.startswith("imagesTr: b with more than 1 file")
    assert two == "imagesUnlabeled: d has 2 files, and labeled cases have 1: remove what is too much"


def test_off_limits_cases_are_not_labeled_before_planning(workspace: Workspace) -> None:
    workspace.write_splits({"train": ["demo_000"], "val": ["demo_001"], "unlabeled": ["demo_004", "demo_005"]})
    for file in workspace.preprocessed.glob("nnUNetPlans*.json"):
        file.unlink()
    shutil.rmtree(workspace.raw / "imagesUnlabeled")
    (workspace.raw / "labelsTr" / "demo_004.nii.gz").unlink()
    findings = list(diagnose_dataset("501", "nnUNetPlansSmall", "3d_fullres"))
    assert findings[0].text == "4 labeled and 2 unlabeled cases"
    assert not any(finding.is_problem for finding in findings)


def test_with_an_ignore_label_a_misspelt_folder_is_told(workspace: Workspace) -> None:
    workspace.write_labels(ignores=True)
    (workspace.raw / "imagesUnlabeled").rename(workspace.raw / "imagesUnlabelled")
    problems = [f.text for f in diagnose_dataset("501", "nnUNetPlansSmall", "3d_fullres") if f.is_problem]
    assert len(problems) == 1
    assert "Did you mean" in problems[0]
