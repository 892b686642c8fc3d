"""Files are found by their names, and what could be two things is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnunetv2_dycon.conversion.data_sets import DATA_SETS
from nnunetv2_dycon.conversion.source_formats import SourceFormat, find_cases, list_files
from nnunetv2_dycon.exceptions import UserError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def source_format(data_set: str, name: str) -> SourceFormat:
    return next(found for found in DATA_SETS[data_set].formats if found.name == name)


def test_hidden_files_are_no_files(tmp_path: Path) -> None:
    touch(tmp_path, "a/b", "._a", ".git/c", "d/.DS_Store")
    assert list_files(tmp_path) == [Path("a/b")]


def test_frames_of_acdc_are_numbered_as_in_the_lists(tmp_path: Path) -> None:
    touch(tmp_path, "patient001/patient001_frame12.nii.gz", "patient001/patient001_frame01_gt.nii.gz")
    touch(tmp_path, "patient001/patient001_frame01.nii.gz", "patient001/patient001_frame12_gt.nii.gz")
    touch(tmp_path, "patient001/patient001_4d.nii.gz")
    cases = find_cases(tmp_path, list_files(tmp_path), source_format("acdc", "nifti"), "")
    assert sorted(cases) == ["patient001_frame01", "patient001_frame02"]
    second = cases["patient001_frame02"]
    assert second.images[0].name == "patient001_frame12.nii.gz"
    assert second.labels[0].name == "patient001_frame12_gt.nii.gz"


def test_numbers_get_the_names_of_the_list(tmp_path: Path) -> None:
    touch(tmp_path, "PANCREAS_0007.nii.gz", "labels/label0007.nii.gz", "labels/label0008.nii.gz")
    found = source_format("pancreas", "nifti")
    assert list(find_cases(tmp_path, list_files(tmp_path), found, "image")) == ["image0007"]
    assert list(find_cases(tmp_path, list_files(tmp_path), found, "PANCREAS_")) == ["PANCREAS_0007"]


def test_two_files_of_a_case_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "HGG/BraTS19_A_1_flair.nii.gz", "copy/BraTS19_A_1_flair.nii.gz")
    with pytest.raises(UserError, match=r"HGG.* and .*copy.* are both files of BraTS19_A_1: move one"):
        find_cases(tmp_path, list_files(tmp_path), source_format("brats19", "nifti"), "")


def test_slices_are_in_order_and_give_way_to_a_volume(tmp_path: Path) -> None:
    names = [f"slices/patient001_frame01_slice_{number}.h5" for number in range(1, 12)]
    touch(tmp_path, *names)
    found = source_format("acdc", "h5")
    images = find_cases(tmp_path, list_files(tmp_path), found, "")["patient001_frame01"].images
    assert [file.name for file in images] == [Path(name).name for name in names]
    touch(tmp_path, "patient001_frame01.h5")
    images = find_cases(tmp_path, list_files(tmp_path), found, "")["patient001_frame01"].images
    assert [file.name for file in images] == ["patient001_frame01.h5"]
    (tmp_path / "patient001_frame01.h5").unlink()
    (tmp_path / names[4]).unlink()
    with pytest.raises(UserError, match="slice 5 of patient001_frame01 is missing"):
        find_cases(tmp_path, list_files(tmp_path), found, "")
