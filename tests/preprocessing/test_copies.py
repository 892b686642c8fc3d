"""Scans that are there twice are found by what is in them, whatever their files look like."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel
import numpy as np
import pytest

from nnunetv2_dycon.datasets.planned_dataset import read_planned_dataset
from nnunetv2_dycon.preprocessing.copies import Copies, describe_copies
from nnunetv2_dycon.preprocessing.prepare_unlabeled_data import prepare_unlabeled_data
from tests.preprocessing.unlabeled_scans import change_scan, scan_of

if TYPE_CHECKING:
    from tests.conftest import Workspace


def warnings(validation: set[str] | None = None, off_limits: tuple[str, ...] = ()) -> list[str]:
    dataset = read_planned_dataset("501", "nnUNetPlansSmall")
    configuration = dataset.configuration("3d_fullres")
    lines: list[str] = []
    managers = (dataset.plans_manager, configuration)
    prepare_unlabeled_data(*managers, dataset.dataset_json, off_limits, 1, lines.append, validation)
    return [line.removeprefix("WARNING: ") for line in lines if line.startswith("WARNING: ")]


def copy(source: Path, target: Path) -> None:
    shutil.copy(source, target)


def copy_in_another_way(source: Path, target: Path) -> None:
    """Other bytes in the file: another type of values, another name within, another compression."""
    image = nibabel.load(source)
    other = nibabel.Nifti1Image(np.asarray(image.dataobj).astype(np.float64), image.affine)
    other.header["descrip"] = b"a copy"
    nibabel.save(other, target)


@pytest.mark.usefixtures("workspace")
def test_different_scans_are_no_copies() -> None:
    assert warnings({"demo_004", "demo_005"}, off_limits=("demo_000",)) == []


@pytest.mark.parametrize("make_copy", [copy, copy_in_another_way])
def test_copies_of_labeled_scans_are_named_and_those_of_validation_cases_first(
    workspace: Workspace, make_copy: Callable[[Path, Path], None]
) -> None:
    for source, name in (("demo_004", "x"), ("demo_000", "y")):
        make_copy(workspace.raw / "imagesTr" / f"{source}_0000.nii.gz", scan_of(workspace, name))
    validated, labeled = warnings({"demo_004", "demo_005"})
    assert validated == (
        "1 unlabeled scan is a copy of a validation case (x of demo_004): training sees scans that it is validated on, "
        "so its scores are too good; remove them from imagesUnlabeled."
    )
    assert labeled == (
        "1 unlabeled scan is a copy of a labeled case (y of demo_000): they teach nothing new; remove them from "
        "imagesUnlabeled."
    )
    (any_fold,) = warnings()
    assert "2 unlabeled scans are copies of labeled cases (x of demo_004, y of demo_000)" in any_fold
    assert "a fold that validates on them is not honest" in any_fold


def test_the_same_unlabeled_scan_twice_is_named(workspace: Workspace) -> None:
    for name in ("demo_006_again", "demo_006_once_more"):
        shutil.copy(scan_of(workspace, "demo_006"), scan_of(workspace, name))
    assert warnings() == [
        "2 unlabeled scans are copies of other unlabeled scans (demo_006_again of demo_006, demo_006_once_more of "
        "demo_006); remove them from imagesUnlabeled."
    ]


def test_a_copy_of_a_case_whose_label_is_off_limits_is_one_of_an_unlabeled_scan(workspace: Workspace) -> None:
    shutil.copy(workspace.raw / "imagesTr" / "demo_000_0000.nii.gz", scan_of(workspace, "x"))
    (line,) = warnings({"demo_004"}, off_limits=("demo_000",))
    assert "another unlabeled scan (x of demo_000)" in line


def test_a_scan_that_differs_a_little_is_no_copy(workspace: Workspace) -> None:
    shutil.copy(scan_of(workspace, "demo_006"), scan_of(workspace, "noisy"))
    noise = np.random.default_rng(0)
    change_scan(scan_of(workspace, "noisy"), lambda image: image + noise.normal(0, 0.05 * image.std(), image.shape))
    assert warnings() == []


def test_five_are_listed() -> None:
    (line,) = describe_copies(Copies({}, {f"b{number}": "a" for number in range(8)}))
    assert line.startswith("8 unlabeled scans are copies of other unlabeled scans (b0 of a, ")
    assert "b4 of a and 3 more)" in line
