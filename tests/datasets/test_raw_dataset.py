"""Which scans of a raw dataset are unlabeled cases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nnunetv2_dycon.datasets.raw_dataset import (
    LabeledCase,
    files_per_case,
    find_off_limits_cases,
    find_unlabeled_cases,
    labeled_images,
    number_of_channels,
)
from nnunetv2_dycon.exceptions import UserError

DATASET_JSON = {"file_ending": ".nii.gz", "numTraining": 2}


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_cases_are_sorted_and_channels_in_order(tmp_path: Path) -> None:
    names = ["b_0001.nii.gz", "b_0000.nii.gz", "a_0000_0000.nii.gz", ".hidden", "._b_0002.nii.gz"]
    folder = touch(tmp_path / "imagesUnlabeled", *names)
    first, second = find_unlabeled_cases(tmp_path, ".nii.gz")
    assert (first.identifier, first.images) == ("a_0000", (folder / "a_0000_0000.nii.gz",))
    assert (second.identifier, second.images) == ("b", (folder / "b_0000.nii.gz", folder / "b_0001.nii.gz"))
    assert first.source == second.source == "imagesUnlabeled"


def test_without_the_folder_there_are_none(tmp_path: Path) -> None:
    touch(tmp_path / "imagesTr", "a_0000.nii.gz")
    assert find_unlabeled_cases(tmp_path, ".nii.gz") == []


@pytest.mark.parametrize("name", ["a.nii.gz", "a_000.nii.gz", "a_0000.NII.GZ", "_0000.nii.gz"])
def test_a_file_that_is_not_named_like_a_scan_is_refused_by_name(tmp_path: Path, name: str) -> None:
    folder = touch(tmp_path / "imagesUnlabeled", "b_0000.nii.gz", name)
    with pytest.raises(UserError, match=r"Name it CASE_0000\.nii\.gz") as error:
        find_unlabeled_cases(tmp_path, ".nii.gz")
    assert str(error.value).startswith(f"{folder / name} is not named like a scan")


@pytest.mark.parametrize("name", ["a_0000.nii", "a_0000_nii_gz", "a_0000.mha", "notes.json"])
def test_a_file_of_another_ending_is_to_be_converted(tmp_path: Path, name: str) -> None:
    folder = touch(tmp_path / "imagesUnlabeled", "b_0000.nii.gz", name)
    with pytest.raises(UserError, match=r"convert it to CASE_0000\.nii\.gz") as error:
        find_unlabeled_cases(tmp_path, ".nii.gz")
    assert str(error.value).startswith(f"{folder / name} does not have this dataset's file ending, .nii.gz.")


@pytest.mark.parametrize(("channels", "present"), [([0, 2], "0000, 0002"), ([1], "0001")])
def test_a_missing_channel_is_refused_by_name(tmp_path: Path, channels: list[int], present: str) -> None:
    folder = touch(tmp_path / "imagesUnlabeled", *[f"a_{channel:04d}.nii.gz" for channel in channels])
    with pytest.raises(UserError) as error:
        find_unlabeled_cases(tmp_path, ".nii.gz")
    assert f"{folder}/a* has the channels {present}: some are missing" in str(error.value)


def test_the_spacing_of_a_tiff_belongs_to_its_case(tmp_path: Path) -> None:
    folder = touch(tmp_path / "imagesUnlabeled", "a_0000.tif", "a.json", "b_0000.tif")
    first, second = find_unlabeled_cases(tmp_path, ".tif")
    assert first.images == (folder / "a_0000.tif",)
    assert first.files == (folder / "a_0000.tif", folder / "a.json")
    assert second.files == second.images


def test_off_limits_cases_are_found_among_the_labeled_images(tmp_path: Path) -> None:
    folder = touch(tmp_path / "imagesTr", "a_0000.nii.gz", "b_0000.nii.gz", "c_0000.nii.gz")
    cases = find_off_limits_cases(tmp_path, DATASET_JSON, ["c", "a", "c"])
    assert [(case.identifier, case.images) for case in cases] == [
        ("a", (folder / "a_0000.nii.gz",)),
        ("c", (folder / "c_0000.nii.gz",)),
    ]
    assert {case.source for case in cases} == {"imagesTr"}


@pytest.mark.parametrize("names", [[], ["a_0000.nii.gz"]])
def test_an_off_limits_case_that_is_not_there_is_refused_by_name(tmp_path: Path, names: list[str]) -> None:
    touch(tmp_path / "imagesTr", *names)
    with pytest.raises(UserError, match=r"splits_final.json lists y, z under .* no such training case"):
        find_off_limits_cases(tmp_path, DATASET_JSON, ["z", "y"])


def test_labeled_images_may_lie_where_dataset_json_says(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "a.nii.gz")
    dataset = {"a": {"images": ["elsewhere/a.nii.gz"], "label": "elsewhere/a_label.nii.gz"}}
    dataset_json = {**DATASET_JSON, "dataset": dataset}
    before = json.dumps(dataset_json)
    assert labeled_images(tmp_path, dataset_json) == {"a": (tmp_path / "elsewhere" / "a.nii.gz",)}
    assert json.dumps(dataset_json) == before


def test_without_labeled_images_there_are_none(tmp_path: Path) -> None:
    assert labeled_images(tmp_path, DATASET_JSON) == {}
    assert find_off_limits_cases(tmp_path, DATASET_JSON, []) == []


def test_channels_are_counted_in_old_datasets_too() -> None:
    assert number_of_channels({"channel_names": {"0": "T1", "1": "T2"}}) == 2
    assert number_of_channels({"modality": {"0": "CT"}}) == 1


@pytest.mark.parametrize(
    ("ending", "files", "expected"),
    [
        (".png", [1, 1], 1),
        (".png", [2, 2], 2),
        (".png", [3, 3], 3),
        (".png", [1, 3], 3),
        (".png", [1, 1, 3], 1),
        (".png", [4, 4], 3),
        (".nii.gz", [1, 1], 3),
    ],
)
def test_only_natural_images_hold_several_channels_in_a_file(ending: str, files: list[int], expected: int) -> None:
    cases = {str(number): LabeledCase((Path("a"),) * count, Path("b")) for number, count in enumerate(files)}
    dataset_json = {"channel_names": {"0": "R", "1": "G", "2": "B"}, "file_ending": ending}
    assert files_per_case((case.images for case in cases.values()), dataset_json) == expected
