from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from benchmarks.label_efficiency import __main__, partly_annotated

SHAPE = (11, 4, 5)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Five training and two test cases in the layout without dataset.json; all voxels have the label 1."""
    folder = tmp_path / "source"
    for name, value in (("images", 100), ("labels", 1)):
        (folder / name).mkdir(parents=True)
        for case in "abcdefg":
            image = sitk.GetImageFromArray(np.full(SHAPE, value, np.uint8))
            image.SetSpacing((1, 2, 3))
            sitk.WriteImage(image, str(folder / name / f"{case}.nii.gz"))
    (folder / "protocol.json").write_text(json.dumps({"train": list("edcba"), "test": ["f", "g"]}))
    return folder


def make(source: Path, *options: str) -> Path:
    output = source.with_name("partly")
    arguments = ["--data", str(source), "--output", str(output), "--cases", "2", "--preset", "hippocampus", *options]
    assert partly_annotated.main(arguments) == 0
    return output


def read(file: Path) -> sitk.Image:
    return sitk.ReadImage(str(file))


def test_every_fifth_slice_of_training_labels_is_kept(source: Path) -> None:
    output = make(source)
    assert sorted(file.name for file in (output / "labelsTr").iterdir()) == ["d.nii.gz", "e.nii.gz"]
    label = read(output / "labelsTr" / "e.nii.gz")
    expected = np.full(SHAPE, 3)
    expected[[2, 7]] = 1
    assert np.array_equal(sitk.GetArrayFromImage(label), expected)
    assert label.GetSpacing() == (1, 2, 3)
    dataset_json = json.loads((output / "dataset.json").read_text())
    assert dataset_json["labels"] == {"background": 0, "anterior": 1, "posterior": 2, "ignore": 3}
    assert (output / "imagesTr" / "e_0000.nii.gz").resolve() == source / "images" / "e.nii.gz"


def write_dataset_json(source: Path, labels: dict[str, object]) -> None:
    """nnU-Net's raw layout, where the source has the other one."""
    for name in ("images", "labels"):
        (source / name).rename(source / f"{name}Tr")
    for file in (source / "imagesTr").iterdir():
        file.rename(file.with_name(file.name.replace(".", "_0000.", 1)))
    content = {"channel_names": {"0": "CT"}, "labels": labels, "file_ending": ".nii.gz", "numTraining": 7}
    if any(isinstance(label, list) for label in labels.values()):
        content["regions_class_order"] = [1, 2]
    (source / "dataset.json").write_text(json.dumps(content))


def test_names_are_those_of_dataset_json(source: Path) -> None:
    write_dataset_json(source, {"background": 0, "liver": 1, "tumour": 2, "vessel": 3})
    output = make(source)
    dataset_json = json.loads((output / "dataset.json").read_text())
    assert dataset_json["channel_names"] == {"0": "CT"}
    assert dataset_json["labels"] == {"background": 0, "liver": 1, "tumour": 2, "vessel": 3, "ignore": 4}
    assert np.unique(sitk.GetArrayFromImage(read(output / "labelsTr" / "e.nii.gz"))).tolist() == [1, 4]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"background": 0, "whole": [1, 2], "inner": 2}, "without regions"),
        ({"background": 0, "liver": 1, "ignore": 2}, "an ignore label already"),
        ({"background": 0, "liver": 1}, "has the label 2, which has no name"),
    ],
)
def test_labels_that_cannot_get_an_ignore_label_are_refused(
    source: Path, labels: dict[str, object], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dataset_json(source, labels)
    image = sitk.ReadImage(str(source / "labelsTr" / "e.nii.gz"))
    sitk.WriteImage(image * 2, str(source / "labelsTr" / "e.nii.gz"))
    output = source.with_name("partly")
    assert partly_annotated.main(["--data", str(source), "--output", str(output), "--cases", "2"]) == 1
    assert message in capsys.readouterr().err
    assert not output.exists()


def test_without_names_nothing_is_written(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = source.with_name("partly")
    assert partly_annotated.main(["--data", str(source), "--output", str(output), "--cases", "2"]) == 1
    assert "has no dataset.json: name a preset" in capsys.readouterr().err


def test_test_labels_stay_whole(source: Path) -> None:
    output = make(source)
    assert sorted(file.name for file in (output / "labelsTs").iterdir()) == ["f.nii.gz", "g.nii.gz"]
    assert (sitk.GetArrayFromImage(read(output / "labelsTs" / "f.nii.gz")) == 1).all()


def test_choices_can_be_made_on_held_out_training_cases(source: Path) -> None:
    output = make(source, "--held-out", "2", "--every", "3")
    assert json.loads((output / "protocol.json").read_text()) == {"train": ["e", "d"], "test": ["b", "a"]}
    label = sitk.GetArrayFromImage(read(output / "labelsTr" / "e.nii.gz"))
    assert np.flatnonzero((label == 1).all((1, 2))).tolist() == [1, 4, 7, 10]


def test_methods_that_need_unlabeled_data_are_run_on_it(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["run", "--data", str(make(source)), "--workspace", str(source.with_name("workspace")), "--list"]
    options += ["--preset", "hippocampus", "--budgets", "all", "--arms", "nnUNet", "DyCON", "SelfTraining"]
    assert __main__.main(options) == 0
    output = capsys.readouterr().out
    assert "nnUNet" in output
    assert "DyCON" in output
    # There are no scans of which it could predict the labels.
    assert "SelfTraining" not in output


@pytest.mark.parametrize("cases", ["0", "5"])
def test_a_number_of_cases_that_there_is_not_is_refused(
    source: Path, cases: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(source), "--output", str(source / "out"), "--held-out", "1", "--cases", cases]
    arguments += ["--preset", "hippocampus"]
    assert partly_annotated.main(arguments) == 1
    assert f"--cases must be between 1 and 4, and is {cases}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("every", "message"),
    [("0", "--every must be at least 1, and is 0"), ("22", "has 11 slices, of which --every 22 would keep none")],
)
def test_labels_of_which_nothing_would_be_kept_are_refused(
    source: Path, capsys: pytest.CaptureFixture[str], every: str, message: str
) -> None:
    arguments = ["--data", str(source), "--output", str(source / "o"), "--cases", "2", "--preset", "hippocampus"]
    assert partly_annotated.main([*arguments, "--every", every]) == 1
    assert message in capsys.readouterr().err
    assert not (source / "o").exists()


def test_the_old_name_of_channel_names_is_kept(source: Path) -> None:
    write_dataset_json(source, {"background": 0, "x": 1})
    file = source / "dataset.json"
    content = json.loads(file.read_text())
    content["modality"] = content.pop("channel_names")
    file.write_text(json.dumps(content))
    assert json.loads((make(source) / "dataset.json").read_text())["modality"] == {"0": "CT"}
