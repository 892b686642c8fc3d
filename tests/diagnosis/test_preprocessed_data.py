"""Diagnosis of the cases of a dataset that is planned."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

import blosc2
import numpy as np
import pytest

from nnunetv2_dycon.diagnosis.dataset import diagnose_dataset
from nnunetv2_dycon.preprocessing.prepare_unlabeled_data import UnlabeledData
from tests.cascade import CASCADE, PLANS, write_cascade_plans
from tests.diagnosis.diagnose import diagnose

if TYPE_CHECKING:
    from tests.conftest import Workspace

Prepare = Callable[..., UnlabeledData]


def test_partly_annotated_cases_are_counted(workspace: Workspace) -> None:
    workspace.write_labels(ignores=True)
    counted = "{} of 6 preprocessed labeled cases are partly annotated: in training they join the unlabeled ones"
    assert any(text.startswith(counted.format(0)) for text in diagnose()[0])
    file = workspace.preprocessed / "nnUNetPlans_3d_fullres" / "demo_001_seg.b2nd"
    segmentation = blosc2.open(str(file), mode="r")[:]
    segmentation[:, :3] = 3
    file.unlink()
    blosc2.asarray(np.ascontiguousarray(segmentation), urlpath=str(file))
    fine, problems = diagnose()
    assert any(text.startswith(counted.format(1)) for text in fine)
    assert problems == []


def test_a_dataset_that_is_ready(prepare_unlabeled: Prepare) -> None:
    prepare_unlabeled()
    fine, problems = diagnose()
    assert fine[-1] == "4 of 4 unlabeled cases are preprocessed"
    assert problems == []


def test_a_case_that_is_not_whole_is_not_ready(prepare_unlabeled: Prepare) -> None:
    folder = prepare_unlabeled().folder
    (folder / "demo_007.b2nd").write_bytes(b"short")
    fine, problems = diagnose()
    assert fine[-2] == "3 of 4 unlabeled cases are preprocessed; the others are at the start of a training"
    assert fine[-1].startswith(f"demo_007 is not ready: in {folder}, demo_007.b2nd has 5 bytes instead of ")
    assert problems == []


def test_without_raw_data_a_case_that_is_not_whole_is_a_problem(
    workspace: Workspace, prepare_unlabeled: Prepare
) -> None:
    folder = prepare_unlabeled().folder
    (folder / "demo_007.b2nd").unlink()
    shutil.rmtree(workspace.raw)
    assert "case demo_007 is not whole (demo_007.b2nd is not there)" in diagnose()[1][0]


def test_scans_that_are_gone_and_copies_are_told(workspace: Workspace, prepare_unlabeled: Prepare) -> None:
    scans = workspace.raw / "imagesUnlabeled"
    shutil.copy(workspace.raw / "imagesTr" / "demo_004_0000.nii.gz", scans / "x_0000.nii.gz")
    prepare_unlabeled()
    gone = scans / "demo_006_0000.nii.gz"
    gone.unlink()
    gone.symlink_to("nowhere")
    fine, problems = diagnose()
    assert fine[-2] == "5 of 5 unlabeled cases are preprocessed"
    assert fine[-1] == f"{gone} is not there any more: what was preprocessed before is used."
    assert len(problems) == 1
    assert problems[0].startswith("1 unlabeled scan is a copy of a labeled case (x of demo_004)")


def test_labeled_cases_that_are_not_preprocessed_are_to_do(workspace: Workspace) -> None:
    shutil.rmtree(workspace.preprocessed / "nnUNetPlans_3d_fullres")
    command = "nnUNetv2_preprocess -d 501 -c 3d_fullres -plans_name nnUNetPlansSmall"
    to_do = [each.text for each in diagnose_dataset("501", "nnUNetPlansSmall", "3d_fullres") if each.is_to_do]
    assert to_do == [f"labeled cases are not preprocessed: {command}"]
    assert diagnose()[1] == []


@pytest.mark.parametrize("missing", [["demo_002"], ["demo_001", "demo_002"]])
def test_cases_that_are_not_preprocessed_are_told_once_for_all_folds(workspace: Workspace, missing: list[str]) -> None:
    cases = [f"demo_00{number}" for number in range(4)]
    workspace.write_splits(*({"train": [one for one in cases if one != case], "val": [case]} for case in cases))
    folder = workspace.preprocessed / "nnUNetPlans_3d_fullres"
    for case in missing:
        (folder / f"{case}.pkl").unlink()
    lack = "demo_002 lacks" if len(missing) == 1 else "demo_001, demo_002 lack"
    command = "nnUNetv2_preprocess -d 501 -c 3d_fullres -plans_name nnUNetPlansSmall"
    remedy = f"correct the names in {workspace.preprocessed / 'splits_final.json'}, or run {command}"
    assert diagnose()[1] == [f"{lack} preprocessed data in {folder}: {remedy}"]


def test_without_a_file_of_folds_no_names_can_be_wrong(workspace: Workspace) -> None:
    (workspace.preprocessed / "splits_final.json").unlink()
    (workspace.preprocessed / "nnUNetPlans_3d_fullres" / "demo_002.pkl").unlink()
    (problem,) = diagnose()[1]
    assert problem.startswith("demo_002 lacks preprocessed data in ")
    assert problem.endswith(": run nnUNetv2_preprocess -d 501 -c 3d_fullres -plans_name nnUNetPlansSmall")


def test_too_few_labels_for_folds_are_told(workspace: Workspace) -> None:
    hint = "nnU-Net makes its folds from 5 labeled cases on: train fold all"
    for case in ("demo_000", "demo_001"):
        for file in workspace.root.rglob(f"{case}*"):
            file.unlink()
    assert hint not in diagnose()[0]
    (workspace.preprocessed / "splits_final.json").unlink()
    assert hint in diagnose()[0]


def test_folds_are_made_of_what_is_preprocessed(workspace: Workspace) -> None:
    (workspace.preprocessed / "splits_final.json").unlink()
    for case in ("demo_000", "demo_001"):
        (workspace.raw / "imagesTr" / f"{case}_0000.nii.gz").unlink()
    assert not any("fold all" in text for text in diagnose()[0])


def test_cases_that_preprocessing_anew_would_lose_are_a_note(workspace: Workspace) -> None:
    (workspace.raw / "imagesTr" / "demo_000_0000.nii.gz").unlink()
    (workspace.raw / "labelsTr" / "demo_001.nii.gz").unlink()
    (note,) = [f.text for f in diagnose_dataset("501", "nnUNetPlansSmall", "3d_fullres") if f.is_note]
    assert note == (
        "demo_000, demo_001: preprocessed, but an image or the label is not in "
        f"{workspace.raw} any more. Trainings do not need it. But nnUNetv2_preprocess would remove what is "
        "preprocessed of them: put the files back before you run that"
    )


def test_a_labeled_case_that_was_moved_to_the_unlabeled_ones_is_a_problem(workspace: Workspace) -> None:
    scan = workspace.raw / "imagesTr" / "demo_005_0000.nii.gz"
    scan.rename(workspace.raw / "imagesUnlabeled" / scan.name)
    folder = workspace.preprocessed / "nnUNetPlans_3d_fullres"
    assert diagnose()[1] == [
        f"demo_005: in imagesUnlabeled and, with a label, in {folder}; remove the files of it from one of the two"
    ]


def test_a_segmentation_that_is_cut_short_is_a_problem(workspace: Workspace) -> None:
    workspace.write_labels(ignores=True)
    (workspace.preprocessed / "nnUNetPlans_3d_fullres" / "demo_001.pkl").write_bytes(b"")
    assert any("cannot be read" in text for text in diagnose()[1])


def test_the_first_stage_of_a_cascade_is_looked_at(workspace: Workspace) -> None:
    write_cascade_plans(workspace, workspace.read_plans())
    findings = list(diagnose_dataset("501", PLANS, CASCADE))
    to_do = [finding.text for finding in findings if finding.is_to_do]
    command = f"nnUNetv2_preprocess -d 501 -c 3d_lowres -plans_name {PLANS}"
    assert to_do == [
        f"labeled cases are not preprocessed: {command}",
        "trained models of 3d_lowres: none: train it on all folds before 3d_cascade_fullres",
    ]
    folder = workspace.preprocessed / f"{PLANS}_3d_lowres"
    folder.mkdir()
    assert diagnose(PLANS, CASCADE)[1] == [f"{folder} has no preprocessed cases: run {command}"]


def test_missing_raw_data_are_told(workspace: Workspace, prepare_unlabeled: Prepare) -> None:
    raw = workspace.raw.rename(workspace.root / "elsewhere")
    not_here = "the raw data of Dataset501_Tiny are not here"
    (to_do,) = [each.text for each in diagnose_dataset("501", "nnUNetPlansSmall", "3d_fullres") if each.is_to_do]
    assert to_do == (
        f"{not_here}, and no unlabeled case is preprocessed: copy what was preprocessed elsewhere, or set nnUNet_raw "
        "to where the raw data are"
    )
    raw.rename(workspace.raw)
    prepare_unlabeled()
    shutil.rmtree(workspace.raw)
    fine, problems = diagnose()
    assert fine[-1] == f"{not_here}: only what is preprocessed can be used"
    assert problems == []
