"""Diagnosis of a dataset that is planned."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from nnunetv2_dycon.diagnosis.dataset import diagnose_dataset
from nnunetv2_dycon.preprocessing.prepare_unlabeled_data import UnlabeledData
from tests.diagnosis.diagnose import diagnose

if TYPE_CHECKING:
    from tests.conftest import Workspace

Prepare = Callable[..., UnlabeledData]


@pytest.mark.usefixtures("workspace")
def test_a_dataset_that_is_planned_but_not_ready() -> None:
    assert diagnose() == (
        [
            "Dataset501_Tiny is planned: nnUNetPlansSmall.json has 3d_fullres",
            "6 labeled and 4 unlabeled cases",
            "0 of 4 unlabeled cases are preprocessed; the others are at the start of a training",
        ],
        [],
    )


def test_off_limits_cases_count_as_unlabeled(workspace: Workspace) -> None:
    workspace.write_splits({"train": ["demo_000"], "val": ["demo_001"], "unlabeled": ["demo_004", "demo_005"]})
    fine, problems = diagnose()
    assert "4 labeled and 6 unlabeled cases" in fine
    assert problems == []


def test_no_unlabeled_scans_is_a_problem(workspace: Workspace) -> None:
    shutil.rmtree(workspace.raw / "imagesUnlabeled")
    assert diagnose()[1] == [f"there are no scans in {workspace.raw}/imagesUnlabeled. Put some there."]


def test_with_an_ignore_label_it_is_none(workspace: Workspace) -> None:
    workspace.write_labels(ignores=True)
    shutil.rmtree(workspace.raw / "imagesUnlabeled")
    fine, problems = diagnose()
    place = workspace.raw / "imagesUnlabeled"
    assert any(text.startswith(f"there are no scans in {place}: a training looks at its start") for text in fine)
    none = "none of the 6 preprocessed labeled cases has the ignore label"
    assert problems == [f"{none}, and there are no unlabeled scans: put some into imagesUnlabeled"]


@pytest.mark.parametrize("off_limits", [[], ["demo_003"]])
def test_a_scan_in_both_folders_is_a_problem(workspace: Workspace, off_limits: list[str]) -> None:
    workspace.write_splits({"train": ["demo_000"], "val": ["demo_001"], "unlabeled": off_limits})
    shutil.copy(workspace.raw / "imagesTr" / "demo_003_0000.nii.gz", workspace.raw / "imagesUnlabeled")
    assert diagnose()[1] == ["demo_003: in imagesTr and in imagesUnlabeled; remove one of the two"]


def test_a_case_with_a_surplus_channel_is_a_problem(workspace: Workspace) -> None:
    scans = workspace.raw / "imagesUnlabeled"
    shutil.copy(scans / "demo_006_0000.nii.gz", scans / "demo_006_0001.nii.gz")
    fine, problems = diagnose()
    assert fine[-1] == "0 of 4 unlabeled cases are preprocessed; the others are at the start of a training"
    file = scans / "demo_006_0001.nii.gz"
    assert len(problems) == 1
    assert problems[0].startswith(f"the unlabeled case demo_006 cannot be used: {file} is a channel beyond the 1 ")


def test_the_settings_of_one_trainer_can_be_checked(workspace: Workspace) -> None:
    workspace.write_settings("nnUNetPlansWrong", uncl_wieght=1)
    for trainer, number in ((None, 1), ("nnUNetTrainerDyCON", 1), ("nnUNetTrainerUAMT", 0)):
        findings = diagnose_dataset("501", "nnUNetPlansWrong", "3d_fullres", trainer)
        assert sum(finding.is_problem for finding in findings) == number


@pytest.mark.usefixtures("workspace")
def test_a_trainer_that_is_not_there_is_a_problem() -> None:
    (finding,) = diagnose_dataset("501", "nnUNetPlansSmall", "3d_fullres", "nnUNetTrainerNobody")
    assert "nnUNetTrainerNobody" in str(finding)


def test_a_method_that_refuses_the_labels_is_a_problem(workspace: Workspace) -> None:
    findings = list(diagnose_dataset("501", "nnUNetPlansSmall", "3d_fullres", "nnUNetTrainerGACPS"))
    assert not any(finding.is_problem for finding in findings)
    workspace.write_labels(regions=True)
    findings = list(diagnose_dataset("501", "nnUNetPlansSmall", "3d_fullres", "nnUNetTrainerGACPS"))
    (problem,) = [finding.text for finding in findings if finding.is_problem]
    assert problem.startswith("GACPS does not support region-based training")


def test_a_badly_named_scan_is_a_problem(workspace: Workspace) -> None:
    (workspace.raw / "imagesUnlabeled" / "scan.nii.gz").touch()
    assert "scan.nii.gz is not named like a scan" in diagnose()[1][0]


@pytest.mark.usefixtures("workspace")
def test_missing_plans_and_configurations_are_the_only_problem() -> None:
    fine, (problem,) = diagnose(plans="nnUNetPlansX")
    assert fine == ["6 labeled and 4 unlabeled cases"]
    assert "nnUNetPlansX.json is not there" in problem
    fine, (problem,) = diagnose(configuration="4d")
    assert fine == []
    assert "has no configuration 4d" in problem


def test_nothing_is_written_and_no_label_is_opened(workspace: Workspace, prepare_unlabeled: Prepare) -> None:
    prepare_unlabeled()
    expected = diagnose()
    for label in [*workspace.raw.glob("labelsTr/*"), *workspace.preprocessed.glob("gt_segmentations/*")]:
        label.write_bytes(b"not a label")
    for scan in workspace.raw.glob("imagesUnlabeled/*"):
        os.utime(scan, ns=(1, 1))
    before = {file: file.stat() for file in workspace.root.rglob("*") if file.is_file()}
    assert diagnose() == expected
    after = {file: file.stat() for file in workspace.root.rglob("*") if file.is_file()}
    assert {file: status.st_mtime_ns for file, status in after.items()} == {
        file: status.st_mtime_ns for file, status in before.items()
    }


def test_a_dataset_of_self_training_needs_no_unlabeled_scans(workspace: Workspace) -> None:
    shutil.rmtree(workspace.raw / "imagesUnlabeled")
    (workspace.raw / "self_training.json").write_text("{}")
    fine, problems = diagnose()
    assert any(text.startswith("the dataset was made by self-training") for text in fine)
    assert problems == []
    findings = diagnose_dataset("501", "nnUNetPlansSmall", "3d_fullres", "nnUNetTrainerDyCON")
    (problem,) = [finding.text for finding in findings if finding.is_problem]
    assert "nnUNetTrainerDyCON needs unlabeled ones" in problem


def test_cases_without_a_channel_are_named(workspace: Workspace) -> None:
    workspace.write_dataset_json({**workspace.read_dataset_json(), "channel_names": {"0": "T1", "1": "T2"}})
    plans = workspace.read_plans()
    for configuration in plans["configurations"].values():
        for key in ("normalization_schemes", "use_mask_for_norm"):
            configuration[key] = 2 * configuration.get(key, [])
    intensities = plans["foreground_intensity_properties_per_channel"]
    plans["foreground_intensity_properties_per_channel"] = {"0": intensities["0"], "1": intensities["0"]}
    workspace.write_plans(plans, "nnUNetPlansSmall")
    for image in (workspace.raw / "imagesTr").glob("*_0000.nii.gz"):
        if not image.name.startswith("demo_003"):
            shutil.copy(image, image.with_name(image.name.replace("_0000", "_0001")))
    expected = [
        "imagesTr: demo_003 with fewer than 2 channels: add the missing files, or remove these cases",
        "imagesUnlabeled: demo_006, demo_007, demo_008, demo_009 with fewer than 2 channels: add the missing files, or "
        "remove these cases",
    ]
    assert [text for text in diagnose()[1] if "with fewer" in text] == expected
    shutil.rmtree(workspace.preprocessed)
    (workspace.raw / "imagesTr" / "._demo_000_0000.nii.gz").touch()
    problems = diagnose()[1]
    assert [text for text in problems if "with fewer" in text] == expected
    assert any("has 1 hidden file such as ._demo_000_0000.nii.gz" in text for text in problems)
