"""Names and IDs of datasets are those that nnU-Net takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from nnunetv2.utilities.dataset_name_id_conversion import maybe_convert_to_dataset_name

from nnunetv2_dycon.datasets.names import (
    dataset_description,
    dataset_id,
    dataset_name_of,
    existing_dataset_folder,
    find_raw_dataset_folder,
    new_dataset_name,
    preprocessed_folder,
    raw_folder,
    results_folder,
)
from nnunetv2_dycon.exceptions import UserError

FOLDERS = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """nnU-Net's three folders, empty."""
    for name in FOLDERS:
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "number", "description"),
    [("Dataset004_Heart", 4, "Heart"), ("Dataset501_A_B", 501, "A_B"), ("Dataset1234_Heart", 1234, "Heart")],
)
def test_a_name_has_an_id_and_a_description(name: str, number: int, description: str) -> None:
    assert dataset_id(name) == number
    assert dataset_description(name) == description


@pytest.mark.parametrize("name", ["Dataset01_Heart", "Dataset501", "Heart", "dataset501_Heart", "XDataset501_Heart"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"{name} is not the name of a dataset.*three digits"):
        dataset_id(name)
    with pytest.raises(UserError, match="three digits"):
        dataset_name_of(name)
    assert dataset_description(name) == name


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_part_of_a_name_is_refused_with_the_name(root: Path, folder: str) -> None:
    (root / folder / "Dataset004_Heart").mkdir()
    (root / folder / "Dataset004_Heart.zip").touch()
    (root / folder / "Dataset5_Heart").mkdir()
    for text in ("heart", "Dataset004"):
        with pytest.raises(UserError) as error:
            dataset_name_of(text)
        assert str(error.value) == f"{text} is not the name of a dataset. Do you mean Dataset004_Heart?"
    for text in ("Dataset5_Heart", "", "D"):
        with pytest.raises(UserError, match="three digits or more"):
            dataset_name_of(text)
    with pytest.raises(UserError, match=r"ID or name heart(\. Do you mean Dataset004_Heart\?|: correct it)"):
        existing_dataset_folder("heart")


def test_the_slash_of_a_completed_name_is_no_part_of_it(root: Path) -> None:
    folder = root / "nnUNet_raw" / "Dataset004_Heart"
    folder.mkdir()
    assert dataset_name_of("Dataset004_Heart/") == folder.name
    assert existing_dataset_folder("Dataset004_Heart/") == folder


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("name", ["Dataset004_Heart", "Dataset501_Heart", "Dataset1234_Heart"])
def test_a_dataset_is_found_by_its_id_where_nnunet_finds_it(root: Path, folder: str, name: str) -> None:
    (root / folder / name).mkdir()
    number = str(dataset_id(name))
    assert dataset_name_of(number) == maybe_convert_to_dataset_name(number) == name
    assert dataset_name_of(name) == name


def test_the_same_name_in_several_folders_is_one_dataset(root: Path) -> None:
    for folder in FOLDERS:
        (root / folder / "Dataset501_Heart").mkdir()
    assert dataset_name_of("501") == "Dataset501_Heart"
    (root / "nnUNet_results" / "Dataset501_Lung").mkdir()
    with pytest.raises(UserError, match=r"2 datasets with the ID 501 \(Dataset501_Heart, Dataset501_Lung\)"):
        dataset_name_of("501")


def test_an_id_of_four_digits_is_not_taken_for_one_of_three(root: Path) -> None:
    (root / "nnUNet_raw" / "Dataset1001_Long").mkdir()
    with pytest.raises(UserError, match="no dataset with the ID 100"):
        dataset_name_of("100")
    with pytest.raises(UserError, match="no dataset with the ID or name 100"):
        existing_dataset_folder("100")
    (root / "nnUNet_raw" / "Dataset100_Short").mkdir()
    assert dataset_name_of("100") == "Dataset100_Short"
    assert existing_dataset_folder("100").name == "Dataset100_Short"
    assert (
        existing_dataset_folder("1001").name == existing_dataset_folder("Dataset1001_Long").name == "Dataset1001_Long"
    )


def test_a_new_name_must_not_share_what_nnunet_goes_by(root: Path) -> None:
    """nnU-Net takes Dataset1001_Long for a dataset of the ID 100 too, and refuses to choose."""
    (root / "nnUNet_raw" / "Dataset1001_Long").mkdir()
    with pytest.raises(UserError, match="ID 100 of Dataset100_Short is taken by Dataset1001_Long"):
        new_dataset_name("100", "Short")
    assert new_dataset_name("7", "lungs & heart") == "Dataset007_lungs___heart"
    assert new_dataset_name("Dataset008_Heart", "ignored") == "Dataset008_Heart"


def test_raw_data_need_not_be_here(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_raw_dataset_folder("Dataset501_Heart") is None
    (root / "nnUNet_raw" / "Dataset501_Heart").mkdir()
    assert find_raw_dataset_folder("Dataset501_Heart") == root / "nnUNet_raw" / "Dataset501_Heart"
    monkeypatch.delenv("nnUNet_raw")
    assert find_raw_dataset_folder("Dataset501_Heart") is None


def test_where_no_folder_is_set_an_id_is_not_looked_for(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="have no dataset with the ID 501"):
        dataset_name_of("501")
    monkeypatch.delenv("nnUNet_results")
    with pytest.raises(
        UserError, match=rf"nnUNet_raw={root}/nnUNet_raw, .*nnUNet_results is not set\) have no dataset"
    ):
        dataset_name_of("501")
    for name in FOLDERS[:2]:
        monkeypatch.delenv(name)
    with pytest.raises(UserError, match="nnUNet_raw is not set: export nnUNet_raw="):
        dataset_name_of("501")


def test_a_variable_that_is_not_set_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, function in zip(FOLDERS, (raw_folder, preprocessed_folder, results_folder), strict=True):
        assert function() == root / name
        monkeypatch.delenv(name)
        with pytest.raises(UserError, match=f"{name} is not set: export {name}="):
            function()
