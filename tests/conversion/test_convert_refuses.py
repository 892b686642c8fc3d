"""What the command refuses, with the file or option and the remedy, and leaves nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_dycon.conversion.published_splits import read_published_split
from tests.conversion import sources
from tests.conversion.sources import run_convert, write_source


def test_missing_files_are_named_and_nothing_is_written(
    la: Path, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = read_published_split("la", "ua-mt")
    (la / split.test[0] / "lgemri.nrrd").unlink()
    (la / split.train[0] / "laendo.nrrd").unlink()
    (la / split.train[70] / "laendo.nrrd").unlink()
    assert run_convert(la) == 1
    error = capsys.readouterr().err
    assert f"no scan of {split.test[0]} and no label of {split.train[0]} (looked for CASE/lgemri.nrrd" in error
    # The label of an unlabeled case is not needed.
    assert split.train[70] not in error
    assert not list(raw.iterdir())
    assert run_convert(la, "--without", split.test[0], split.train[0]) == 0
    record = json.loads(next(raw.glob("*/convert.json")).read_text())
    assert record["labeled"] == list(split.train[1:5])
    assert set(record["left_out"]) == {*split.left_out, split.test[0], split.train[0]}
    assert len(record["test"]) == 19


def test_a_dataset_is_never_overwritten(
    la: Path, raw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    preprocessed = raw.parent / "preprocessed"
    monkeypatch.setenv("nnUNet_preprocessed", str(preprocessed))
    for folder in (preprocessed, raw):
        (folder / "Dataset501_LA_4labeled").mkdir(parents=True)
        assert run_convert(la) == 1
        assert f"{folder / 'Dataset501_LA_4labeled'} exists: choose another ID or name" in capsys.readouterr().err
        (folder / "Dataset501_LA_4labeled").rmdir()
    assert run_convert(la) == 0
    before = sorted(raw.rglob("*"))
    assert run_convert(la, "-n", "4") == 1
    assert sorted(raw.rglob("*")) == before


def test_a_label_that_cannot_be_used_leaves_nothing(la: Path, raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = read_published_split("la", "ua-mt").train[2]
    sources._write_itk(la / case / "laendo.nrrd", sources.label_of((7,)))
    assert run_convert(la) == 1
    assert f"{case}/laendo.nrrd holds the label 7, and this data set has 0, 255" in capsys.readouterr().err
    assert run_convert(la, "-np", "2") == 1
    (la / case / "laendo.nrrd").write_bytes(sources.GARBAGE)
    assert run_convert(la) == 1
    assert f"{case}/laendo.nrrd cannot be read: replace it" in capsys.readouterr().err
    assert not list(raw.iterdir())


def test_two_formats_in_a_folder_need_a_choice(la: Path, raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """UA-MT's preprocessing writes its h5 files beside the originals."""
    for folder in list(la.iterdir()):
        sources._write_h5(folder / "mri_norm2.h5", sources.image_of(0), sources.label_of((1,)))
    assert run_convert(la) == 1
    assert "--format h5" in capsys.readouterr().err
    assert run_convert(la, "--format", "h5", "--spacing", "1", "2", "3") == 0
    output = capsys.readouterr().out
    assert "1 x 2 x 3 mm is assumed" in output
    assert "cropped around the structure by its label" in output
    image = next(raw.glob("*/imagesTs/*"))
    assert sitk.ReadImage(str(image)).GetSpacing() == (1.0, 2.0, 3.0)
    label = image.parents[1] / "labelsTs" / image.name.replace("_0000", "")
    assert sitk.ReadImage(str(label)).GetSpacing() == (1.0, 2.0, 3.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--spacing", "1", "1", "1"], "--spacing is for files without one, and nrrd files have it"),
        (["--spacing", "0", "1", "1"], "--spacing must be three lengths above 0"),
        (["--format", "nifti"], "--format must be one of h5, nrrd, not nifti"),
        (["--format", "h5"], "has no files of la of the chosen --format"),
        (["--split", "dycon"], "--split must be one of ua-mt, not dycon"),
        (["--without", "NOBODY"], "--without names NOBODY, which no list"),
        (["-n", "0"], "-n must lie between 1 and 79"),
        (["-n", "80"], "-n must lie between 1 and 79"),
        (["--labels", "0.5%"], "--labels 0.5% of the 80 training patients are 0"),
        (["--labels", "102%"], "--labels 102% of the 80 training patients are 81"),
        (["-np", "0"], "-np must be at least 1"),
    ],
)
def test_options_that_are_refused(
    la: Path, raw: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_convert(la, *options) == 1
    assert message in " ".join(capsys.readouterr().err.split())
    assert not list(raw.iterdir())


@pytest.mark.parametrize(("share", "message"), [("8", "write 8%, or give a number"), ("few%", "is no share such as")])
def test_shares_that_are_none(raw: Path, share: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run_convert(raw, "--labels", share)
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("raw")
def test_a_folder_without_the_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_convert(tmp_path / "nowhere") == 1
    assert "nowhere is no folder" in capsys.readouterr().err
    for name in ("la", "pancreas", "brats19", "isles22", "acdc"):
        assert run_convert(tmp_path, name=name) == 1
        assert f"has no files of {name}: name the folder that has" in capsys.readouterr().err


def test_both_frames_of_a_patient_are_labeled_or_none(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = read_published_split("acdc", "ssl4mis")
    write_source(tmp_path / "acdc", split, sources.write_acdc_h5, (1, 2, 3), garbage=())
    assert run_convert(tmp_path / "acdc", "-n", "7", name="acdc") == 1
    assert "-n 7 would label a part of the scans of patient100 alone: give 6 or 8" in capsys.readouterr().err
    assert run_convert(tmp_path / "acdc", "-n", "1", name="acdc") == 1
    assert "alone: give 2" in capsys.readouterr().err
    # A slice that is missing would shorten a scan.
    (tmp_path / "acdc" / "data" / "slices" / f"{split.train[0]}_slice_2.h5").unlink()
    assert run_convert(tmp_path / "acdc", name="acdc") == 1
    assert f"slice 2 of {split.train[0]} is missing" in capsys.readouterr().err
    assert not list(raw.iterdir())


def test_h5_files_that_are_not_as_expected(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    split = read_published_split("brats19", "ssl4mis")
    write_source(tmp_path / "b", split, sources.write_brats19_h5, (1,), garbage=())
    file = tmp_path / "b" / "data" / f"{split.train[0]}.h5"
    for content, message in (
        ({"image": np.zeros((2, 2, 2))}, "has no dataset 'label', only ['image']"),
        ({"image": np.zeros((2, 2)), "label": np.zeros((2, 2))}, "has the shape (2, 2), and 3 axes are expected"),
        ({"image": np.zeros((2, 2, 2)), "label": np.zeros((2, 2, 3))}, "has 3 x 2 x 2 voxels and its scan 2 x 2 x 2"),
    ):
        with h5py.File(file, "w") as h5:
            for key, value in content.items():
                h5[key] = value
        assert run_convert(tmp_path / "b", name="brats19") == 1
        assert message in capsys.readouterr().err
    file.write_bytes(b"no HDF5")
    assert run_convert(tmp_path / "b", name="brats19") == 1
    assert f"{file} cannot be read as HDF5: replace it" in capsys.readouterr().err
    assert not list(raw.iterdir())


def test_without_h5py(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_source(tmp_path / "la", read_published_split("la", "ua-mt"), sources.write_la_h5, (1,), garbage=())
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert run_convert(tmp_path / "la") == 1
    assert 'pip install "nnunetv2_dycon[convert]"' in capsys.readouterr().err
    assert not list(raw.iterdir())
