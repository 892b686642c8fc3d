from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_dycon.dataset_conversion.simulate import simulate
from nnunetv2_dycon.demo.dataset import write_demo_dataset
from nnunetv2_dycon.exceptions import UserError


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def read(file: Path) -> dict:
    return json.loads(file.read_text())


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """nnU-Net's three folders, empty."""
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    return tmp_path


@pytest.fixture
def raw_source(folders: Path) -> Path:
    """A dataset in nnU-Net's raw layout: six training cases with two channels, two labeled test cases."""
    source = folders / "nnUNet_raw" / "Dataset001_Source"
    write_demo_dataset(source, labeled=6, unlabeled=0, test=2, shape=(12, 12, 12), channels=2)
    return source


@pytest.fixture
def plain_source(tmp_path: Path) -> Path:
    """A dataset of six cases with images, labels and a protocol; all labels but those of a and b are garbage."""
    source = tmp_path / "plain"
    for folder in ("images", "labels"):
        (source / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in "abcdef":
        image = sitk.GetImageFromArray(rng.integers(0, 99, (3, 4, 5)).astype(np.int16))
        sitk.WriteImage(image, str(source / "images" / f"{name}.nii.gz"))
        (source / "labels" / f"{name}.nii.gz").write_bytes(b"no label at all: " + name.encode())
    for name in "ab":
        write_labels(source, name, (0, 1, 2))
    protocol = {"train": ["b", "a", "d", "c"], "test": ["e", "f"]}
    (source / "protocol.json").write_text(json.dumps(protocol))
    return source


def write_labels(source: Path, name: str, values: tuple[float, ...]) -> None:
    labels = np.resize(np.array(values), (3, 4, 5))
    labels = labels.astype(np.float32 if any(value % 1 for value in values) else np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(labels), str(source / "labels" / f"{name}.nii.gz"))


def test_plain_layout_with_protocol(folders: Path, plain_source: Path) -> None:
    target = simulate(plain_source, "Dataset501_Few", 2, channel_name="MRI")
    assert target == folders / "nnUNet_raw" / "Dataset501_Few"
    assert {folder.name: names(folder) for folder in target.iterdir() if folder.is_dir()} == {
        "imagesTr": ["a_0000.nii.gz", "b_0000.nii.gz"],
        "labelsTr": ["a.nii.gz", "b.nii.gz"],
        "imagesUnlabeled": ["c_0000.nii.gz", "d_0000.nii.gz"],
        "imagesTs": ["e_0000.nii.gz", "f_0000.nii.gz"],
        "labelsTs": ["e.nii.gz", "f.nii.gz"],
    }
    assert (target / "imagesUnlabeled" / "c_0000.nii.gz").read_bytes() == (
        plain_source / "images" / "c.nii.gz"
    ).read_bytes()
    assert (target / "labelsTr" / "a.nii.gz").read_bytes() == (plain_source / "labels" / "a.nii.gz").read_bytes()
    assert read(target / "dataset.json") == {
        "name": "Dataset501_Few",
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "class_1": 1, "class_2": 2},
        "numTraining": 2,
        "file_ending": ".nii.gz",
    }
    record = read(target / "simulate.json")
    assert record["labeled"] == ["b", "a"]
    assert record["unlabeled"] == ["d", "c"]
    assert record["test"] == ["e", "f"]
    assert record["protocol"] == {"file": str(plain_source / "protocol.json")}


@pytest.mark.usefixtures("folders")
def test_no_label_of_an_unlabeled_case_is_needed(plain_source: Path) -> None:
    for name in "cd":
        (plain_source / "labels" / f"{name}.nii.gz").unlink()
    target = simulate(plain_source, "501", 2, channel_name="MRI")
    assert len(names(target / "imagesUnlabeled")) == 2


def test_raw_layout_keeps_channels_labels_and_test_set(raw_source: Path) -> None:
    target = simulate(raw_source, "502", 2)
    assert target.name == "Dataset502_Source_2labeled"
    record = read(target / "simulate.json")
    assert record["test"] == ["demo_006", "demo_007"]
    assert names(target / "labelsTr") == sorted(f"{name}.nii.gz" for name in record["labeled"])
    assert len(record["unlabeled"]) == 4
    for name in record["unlabeled"]:
        for channel in ("0000", "0001"):
            copy, original = (
                folder / f"{name}_{channel}.nii.gz" for folder in (target / "imagesUnlabeled", raw_source / "imagesTr")
            )
            assert copy.read_bytes() == original.read_bytes()
    dataset_json, source_json = read(target / "dataset.json"), read(raw_source / "dataset.json")
    assert dataset_json == {**source_json, "numTraining": 2, "name": target.name}
    assert not list(target.parent.glob(".*"))


def test_raw_layout_with_garbage_for_all_labels(raw_source: Path) -> None:
    for file in (*(raw_source / "labelsTr").iterdir(), *(raw_source / "labelsTs").iterdir()):
        file.write_bytes(b"garbage")
    target = simulate(raw_source, "502", 1)
    assert len(names(target / "imagesUnlabeled")) == 2 * 5


def test_raw_layout_with_file_lists_in_dataset_json(raw_source: Path) -> None:
    dataset_json = read(raw_source / "dataset.json")
    dataset_json["dataset"] = {
        name: {
            "images": [f"imagesTr/{image}_{channel}.nii.gz" for channel in ("0000", "0001")],
            "label": f"labelsTr/{image}.nii.gz",
        }
        for name, image in (("first", "demo_003"), ("second", "demo_001"), ("third", "demo_000"))
    }
    (raw_source / "dataset.json").write_text(json.dumps(dataset_json))
    target = simulate(raw_source, "502", 1)
    assert "dataset" not in read(target / "dataset.json")
    record = read(target / "simulate.json")
    assert sorted([*record["labeled"], *record["unlabeled"]]) == ["first", "second", "third"]
    originals = {"first": "demo_003", "second": "demo_001", "third": "demo_000"}
    for name in record["unlabeled"]:
        copy = target / "imagesUnlabeled" / f"{name}_0001.nii.gz"
        assert copy.read_bytes() == (raw_source / "imagesTr" / f"{originals[name]}_0001.nii.gz").read_bytes()


def test_random_protocol_is_the_seeds_and_can_be_repeated_from_its_record(raw_source: Path) -> None:
    first = simulate(raw_source, "502", 2, test_fraction=0.5, seed=1)
    record = read(first / "simulate.json")
    assert len(record["test"]) == 3
    assert record["protocol"] == {"seed": 1, "test_fraction": 0.5}
    assert "demo_006" not in {*record["train"], *record["test"]}
    again = read(simulate(raw_source, "503", 2, test_fraction=0.5, seed=1) / "simulate.json")
    assert (again["train"], again["test"]) == (record["train"], record["test"])
    other = read(simulate(raw_source, "504", 2, test_fraction=0.5, seed=2) / "simulate.json")
    assert (other["train"], other["test"]) != (record["train"], record["test"])
    repeated = simulate(raw_source, "505", 1, protocol_file=first / "simulate.json")
    assert read(repeated / "simulate.json")["labeled"] == record["labeled"][:1]
    assert names(repeated / "labelsTs") == names(first / "labelsTs")


def test_fewer_labels_are_a_part_of_more_labels(raw_source: Path) -> None:
    few, more = (read(simulate(raw_source, f"{500 + n}", n) / "simulate.json") for n in (1, 3))
    assert few["labeled"] == more["labeled"][:1]
    assert few["test"] == more["test"]


def test_all_cases_labeled_leaves_no_unlabeled_folder(raw_source: Path) -> None:
    assert not (simulate(raw_source, "502", 6) / "imagesUnlabeled").exists()


def test_link_makes_links_to_the_source(raw_source: Path) -> None:
    target = simulate(raw_source, "502", 2, link=True)
    links = list(target.rglob("*.nii.gz"))
    assert links
    for file in links:
        assert file.is_symlink()
        assert file.resolve().parent.parent == raw_source


def test_overwrite_replaces_raw_and_preprocessed_data(folders: Path, raw_source: Path) -> None:
    target = simulate(raw_source, "Dataset502_Few", 2)
    preprocessed = folders / "nnUNet_preprocessed" / "Dataset502_Few"
    preprocessed.mkdir()
    with pytest.raises(UserError, match=r"Dataset502_Few exists.*--overwrite"):
        simulate(raw_source, "Dataset502_Few", 3)
    assert len(names(target / "labelsTr")) == 2
    assert preprocessed.exists()
    assert simulate(raw_source, "Dataset502_Few", 3, overwrite=True) == target
    assert len(names(target / "labelsTr")) == 3
    assert not preprocessed.exists()


def test_overwrite_spares_what_the_command_did_not_make(folders: Path, raw_source: Path) -> None:
    own = folders / "nnUNet_raw" / "Dataset502_Mine"
    write_demo_dataset(own, labeled=1, unlabeled=0, test=0, shape=(12, 12, 12))
    with pytest.raises(UserError, match="not made by this command"):
        simulate(raw_source, "Dataset502_Mine", 2, overwrite=True)
    (folders / "nnUNet_preprocessed" / "Dataset503_Old").mkdir()
    with pytest.raises(UserError, match=r"nnUNet_preprocessed.*not made by this command"):
        simulate(raw_source, "Dataset503_Old", 2, overwrite=True)
    with pytest.raises(UserError, match="the source itself"):
        simulate(raw_source, "Dataset001_Source", 2, overwrite=True)
    assert names(own / "labelsTr") == ["demo_000.nii.gz"]
    assert len(names(raw_source / "labelsTr")) == 6


def test_an_interrupted_run_leaves_no_dataset(folders: Path, raw_source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("nnunetv2_dycon.dataset_conversion.simulate.save_json", stop)
        with pytest.raises(KeyboardInterrupt):
            simulate(raw_source, "502", 2)
    assert [folder.name for folder in (folders / "nnUNet_raw").glob("Dataset*")] == ["Dataset001_Source"]
    assert simulate(raw_source, "502", 3).is_dir()


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
    with pytest.raises(UserError, match=r"demo_002 of .* has 1 image file\(s\).* names 2 channel"):
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
    with pytest.raises(UserError, match="--channel-name, such as MRI or CT"):
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


@pytest.mark.parametrize(
    ("dataset", "channel", "labels"),
    [("hippocampus", "MRI", {"class_1": 1, "class_2": 2}), ("lung_nodules", "CT", {"class_1": 1})],
)
def test_real_data(shared_folder: Path, folders: Path, dataset: str, channel: str, labels: dict[str, int]) -> None:
    source = shared_folder / "data" / dataset
    target = simulate(source, "501", 8, channel_name=channel, link=True)
    counts = {folder.name: len(names(folder)) for folder in target.iterdir() if folder.is_dir()}
    assert counts == {"imagesTr": 8, "labelsTr": 8, "imagesUnlabeled": 142, "imagesTs": 50, "labelsTs": 50}
    protocol = read(source / "protocol.json")
    assert names(target / "labelsTr") == sorted(f"{name}.nii.gz" for name in protocol["train"][:8])
    assert names(target / "labelsTs") == sorted(f"{name}.nii.gz" for name in protocol["test"])
    assert read(target / "dataset.json")["labels"] == {"background": 0, **labels}
    assert folders in target.parents
