from __future__ import annotations

import json
from pathlib import Path

import pytest

from nnunetv2_dycon.datasets.simulate import simulate
from nnunetv2_dycon.demo.dataset import write_demo_dataset
from nnunetv2_dycon.exceptions import UserError


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def read(file: Path) -> dict:
    return json.loads(file.read_text())


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


def test_rgb_images_are_one_file_a_case(folders: Path) -> None:
    source = folders / "nnUNet_raw" / "Dataset001_RGB"
    for folder, name in (("imagesTr", "{}_0000.png"), ("labelsTr", "{}.png")):
        (source / folder).mkdir(parents=True)
        for case in "abc":
            (source / folder / name.format(case)).touch()
    dataset_json = {
        "channel_names": {"0": "R", "1": "G", "2": "B"},
        "labels": {"background": 0, "a": 1},
        "numTraining": 3,
        "numTest": 0,
        "file_ending": ".png",
    }
    (source / "dataset.json").write_text(json.dumps(dataset_json))
    target = simulate(source, "501", 1, test_fraction=0.34)
    assert read(target / "dataset.json")["numTest"] == 1
    assert [len(names(target / folder)) for folder in ("imagesTr", "imagesUnlabeled", "imagesTs")] == [1, 1, 1]


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


def test_the_spacing_of_a_tiff_comes_along(folders: Path) -> None:
    source = folders / "tiff"
    for name in "ab":
        for folder, file in (("imagesTr", f"{name}_0000.tif"), ("labelsTr", f"{name}.tif")):
            (source / folder).mkdir(parents=True, exist_ok=True)
            (source / folder / file).touch()
            (source / folder / f"{name}.json").write_text(json.dumps({"spacing": [1, 2, 3], "of": folder}))
    dataset_json = {"channel_names": {"0": "MRI"}, "labels": {"background": 0, "a": 1}, "file_ending": ".tif"}
    (source / "dataset.json").write_text(json.dumps(dataset_json))
    target = simulate(source, "502", 1, test_fraction=0)
    (labeled,), (unlabeled,) = (read(target / "simulate.json")[key] for key in ("labeled", "unlabeled"))
    assert names(target / "imagesUnlabeled") == [f"{unlabeled}.json", f"{unlabeled}_0000.tif"]
    assert names(target / "labelsTr") == [f"{labeled}.json", f"{labeled}.tif"]
    for folder in ("imagesTr", "labelsTr"):
        assert read(target / folder / f"{labeled}.json")["of"] == folder


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


@pytest.mark.parametrize("copy", [False, True])
def test_files_are_links_to_the_source_unless_they_are_to_be_copies(raw_source: Path, copy: bool) -> None:
    target = simulate(raw_source, "502", 2, copy=copy)
    files = list(target.rglob("*.nii.gz"))
    assert files
    for file in files:
        assert file.is_symlink() != copy
        assert file.resolve().parent.parent == (target if copy else raw_source)


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
        patch.setattr("nnunetv2_dycon.datasets.simulate.save_json", stop)
        with pytest.raises(KeyboardInterrupt):
            simulate(raw_source, "502", 2)
    assert [folder.name for folder in (folders / "nnUNet_raw").glob("Dataset*")] == ["Dataset001_Source"]
    assert simulate(raw_source, "502", 3).is_dir()


@pytest.mark.parametrize(
    ("dataset", "channel", "labels"),
    [("hippocampus", "MRI", {"class_1": 1, "class_2": 2}), ("lung_nodules", "CT", {"class_1": 1})],
)
def test_real_data(shared_folder: Path, folders: Path, dataset: str, channel: str, labels: dict[str, int]) -> None:
    source = shared_folder / "data" / dataset
    target = simulate(source, "501", 8, channel_name=channel)
    counts = {folder.name: len(names(folder)) for folder in target.iterdir() if folder.is_dir()}
    assert counts == {"imagesTr": 8, "labelsTr": 8, "imagesUnlabeled": 142, "imagesTs": 50, "labelsTs": 50}
    protocol = read(source / "protocol.json")
    assert names(target / "labelsTr") == sorted(f"{name}.nii.gz" for name in protocol["train"][:8])
    assert names(target / "labelsTs") == sorted(f"{name}.nii.gz" for name in protocol["test"])
    assert read(target / "dataset.json")["labels"] == {"background": 0, **labels}
    assert folders in target.parents
