from __future__ import annotations

import json
from pathlib import Path

import pytest

from nnunetv2_dycon.datasets.simulate import simulate
from nnunetv2_dycon.exceptions import UserError
from tests.label_files import write_labels


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def read(file: Path) -> dict:
    return json.loads(file.read_text())


@pytest.mark.parametrize("labeled", [0, -1, 7])
def test_refuses_an_impossible_number_of_labels(raw_source: Path, labeled: int) -> None:
    with pytest.raises(UserError, match="between 1 and 6"):
        simulate(raw_source, "502", labeled)
    assert names(raw_source.parent) == ["Dataset001_Source"]


@pytest.mark.parametrize(("folder", "name"), [("labelsTr", "demo_000.nii.gz"), ("labelsTs", "demo_006.nii.gz")])
def test_names_a_missing_label(raw_source: Path, folder: str, name: str) -> None:
    (raw_source / folder / name).unlink()
    with pytest.raises(UserError, match=f"{name} is missing"):
        simulate(raw_source, "502", 6)


def test_names_a_case_with_a_missing_channel(raw_source: Path) -> None:
    (raw_source / "imagesTr" / "demo_002_0001.nii.gz").unlink()
    with pytest.raises(UserError, match=r"demo_002 of .* has 1 image file, .* names 2 channels:"):
        simulate(raw_source, "502", 2)


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        ({"train": ["a", "b"], "test": ["b"]}, "names b both in 'train' and in 'test'"),
        ({"train": ["a", "a"], "test": []}, "names a more than once"),
        ({"train": ["a", "x", "y"], "test": []}, "names x, y, but the dataset has no image"),
        ({"train": ["a"]}, "lacks the key test"),
        ({"train": "a", "test": []}, "'train' in .* must be a list"),
    ],
)
def test_refuses_a_faulty_protocol(folders: Path, plain_source: Path, protocol: dict, message: str) -> None:
    file = folders / "mine.json"
    file.write_text(json.dumps(protocol))
    with pytest.raises(UserError, match=message):
        simulate(plain_source, "501", 1, protocol_file=file, channel_name="MRI")


def test_refuses_unreadable_json(folders: Path, plain_source: Path) -> None:
    (plain_source / "protocol.json").write_text("{")
    with pytest.raises(UserError, match=r"protocol\.json is not readable as JSON"):
        simulate(plain_source, "501", 1, channel_name="MRI")
    with pytest.raises(UserError, match=r"no file .*none\.json"):
        simulate(plain_source, "501", 1, channel_name="MRI", protocol_file=folders / "none.json")


@pytest.mark.parametrize(
    ("values", "label_names", "message"),
    [
        ((0, 1, 3), None, r"labels \[0, 1, 2, 3\]|2 is missing"),
        ((0, 1, 2), ["one"], "names 1 label.*contain the label 2"),
        ((0, 1), ["same", "same"], "a name of its own"),
        ((0, 0.5), None, "not whole numbers"),
    ],
)
def test_refuses_labels_that_nnunet_cannot_use(
    folders: Path, plain_source: Path, values: tuple[float, ...], label_names: list[str] | None, message: str
) -> None:
    write_labels(plain_source, "b", values)
    with pytest.raises(UserError, match=message):
        simulate(plain_source, "501", 1, channel_name="MRI", label_names=label_names)
    assert names(folders / "nnUNet_raw") == []


@pytest.mark.usefixtures("folders")
def test_label_names_may_name_labels_that_no_labeled_case_has(plain_source: Path) -> None:
    target = simulate(plain_source, "501", 1, channel_name="MRI", label_names=["one", "two", "three"])
    assert read(target / "dataset.json")["labels"] == {"background": 0, "one": 1, "two": 2, "three": 3}


@pytest.mark.usefixtures("folders")
def test_names_an_unreadable_label_of_a_labeled_case(plain_source: Path) -> None:
    with pytest.raises(UserError, match=r"d\.nii\.gz cannot be read"):
        simulate(plain_source, "501", 3, channel_name="MRI")


def test_channel_name_belongs_to_the_plain_layout_alone(plain_source: Path, raw_source: Path) -> None:
    with pytest.raises(UserError, match="--channel_name, such as MRI or CT"):
        simulate(plain_source, "501", 1)
    with pytest.raises(UserError, match=r"for datasets without dataset\.json"):
        simulate(raw_source, "501", 1, channel_name="MRI")


def test_protocol_and_test_fraction_exclude_each_other(plain_source: Path, folders: Path) -> None:
    with pytest.raises(UserError, match="exclude each other"):
        simulate(
            plain_source,
            "501",
            1,
            channel_name="MRI",
            protocol_file=plain_source / "protocol.json",
            test_fraction=0.5,
        )
    assert names(folders / "nnUNet_raw") == []


@pytest.mark.parametrize(
    ("fraction", "message"), [(1.0, r"in \[0, 1\)"), (-0.1, r"in \[0, 1\)"), (0.95, "leaves none")]
)
def test_refuses_a_test_fraction_that_leaves_nothing(raw_source: Path, fraction: float, message: str) -> None:
    with pytest.raises(UserError, match=message):
        simulate(raw_source, "502", 1, test_fraction=fraction)


@pytest.mark.parametrize("output", ["Few", "0", "1000", "Dataset5_Few", "Dataset501_../x"])
def test_refuses_what_is_no_dataset_name(raw_source: Path, output: str) -> None:
    with pytest.raises(UserError, match="is no dataset name"):
        simulate(raw_source, output, 1)


def test_refuses_an_id_that_another_dataset_has(folders: Path, raw_source: Path) -> None:
    (folders / "nnUNet_results" / "Dataset502_Trained").mkdir()
    with pytest.raises(UserError, match=r"502 of .* is taken by Dataset502_Trained"):
        simulate(raw_source, "502", 1)


def test_refuses_a_folder_that_is_no_dataset(folders: Path) -> None:
    with pytest.raises(UserError, match="is no labeled dataset"):
        simulate(folders, "501", 1)


def test_says_which_variable_is_not_set(plain_source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("nnUNet_raw", raising=False)
    with pytest.raises(UserError, match="export nnUNet_raw"):
        simulate(plain_source, "501", 1, channel_name="MRI")


@pytest.mark.parametrize("copy", [False, True])
def test_a_source_whose_files_are_in_the_dataset_that_is_replaced(raw_source: Path, copy: bool) -> None:
    """Its links would lead nowhere then, those to what the new dataset does not take too."""
    copied = simulate(raw_source, "Dataset502_Copied", 3, copy=True)
    linked = simulate(copied, "503", 2)
    contents = {file: file.read_bytes() for file in copied.rglob("*.nii.gz")}
    with pytest.raises(UserError, match="Dataset502_Copied, or leads there: choose another"):
        simulate(linked, "Dataset502_Copied", 1, overwrite=True, copy=copy)
    assert {file: file.read_bytes() for file in copied.rglob("*.nii.gz")} == contents
    assert len(names(copied.parent)) == 3


def test_a_dataset_is_back_where_a_later_folder_cannot_be_replaced(raw_source: Path, folders: Path) -> None:
    target = simulate(raw_source, "Dataset502_Few", 3)
    preprocessed = folders / "nnUNet_preprocessed" / "Dataset502_Few"
    (preprocessed / "data").mkdir(parents=True)
    remains = preprocessed.with_name(f".replaced_{preprocessed.name}") / "of a run that was killed"
    remains.mkdir(parents=True)
    before = (target / "simulate.json").read_bytes()
    with pytest.raises(OSError, match="not empty") as error:
        simulate(raw_source, "Dataset502_Few", 1, overwrite=True)
    assert str(error.value.filename2) == str(remains.parent)
    assert (target / "simulate.json").read_bytes() == before
    assert len(names(target / "labelsTr")) == 3
    assert (preprocessed / "data").is_dir()
    remains.rmdir()
    simulate(raw_source, "Dataset502_Few", 1, overwrite=True)
    assert len(names(target / "labelsTr")) == 1
    assert not preprocessed.exists()
    assert not list(target.parent.glob(".*"))
    assert not list(preprocessed.parent.glob(".replaced*"))


def test_a_link_in_place_of_a_folder_is_not_replaced(raw_source: Path, folders: Path, tmp_path: Path) -> None:
    target = simulate(raw_source, "Dataset502_Few", 3)
    (tmp_path / "elsewhere").mkdir()
    (folders / "nnUNet_preprocessed").mkdir(exist_ok=True)
    (folders / "nnUNet_preprocessed" / "Dataset502_Few").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="nnUNet_preprocessed/Dataset502_Few is a symbolic link"):
        simulate(raw_source, "Dataset502_Few", 1, overwrite=True)
    assert len(names(target / "labelsTr")) == 3
