"""The command, on files of every format that people have of every data set."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_dycon.commands.main import main
from nnunetv2_dycon.conversion.published_splits import PublishedSplit, read_published_split
from tests.conversion import sources
from tests.conversion.sources import DIRECTION, ORIGIN, SIZE, SPACING, Writer, write_source

FOLDERS = (("labeled", "Tr"), ("unlabeled", "Unlabeled"), ("validation", "Val"), ("test", "Ts"))


@dataclass(frozen=True)
class Example:
    """A format with what the command must make of it."""

    data_set: str
    format: str
    split: str
    writer: Writer
    labels: str
    counts: tuple[int, int, int, int]
    values: Collection[int]
    new_values: Collection[int]
    channel: str
    spacing: tuple[float, float, float] | None = None
    is_given: bool = False

    def __str__(self) -> str:
        return f"{self.data_set}-{self.format}-{self.split}"

    @property
    def published(self) -> PublishedSplit:
        return read_published_split(self.data_set, self.split)


LA = (8, 71, 0, 20)
EXAMPLES = [
    Example("la", "h5", "ua-mt", sources.write_la_h5, "10%", LA, (1,), (1,), "LGE_MRI", (0.625, 0.625, 0.625)),
    Example("la", "nrrd", "ua-mt", sources.write_la_nrrd, "10%", LA, (1,), (1,), "LGE_MRI"),
    Example(
        "pancreas",
        "h5",
        "mc-net",
        sources.write_pancreas_h5,
        "20%",
        (12, 49, 0, 19),
        (1,),
        (1,),
        "CT_window",
        (1, 1, 1),
    ),
    Example(
        "pancreas",
        "h5",
        "dycon",
        sources.write_pancreas_dycon_h5,
        "10%",
        (6, 55, 0, 19),
        (1,),
        (1,),
        "CT_window",
        (1, 1, 1),
    ),
    Example("pancreas", "nifti", "mc-net", sources.write_pancreas_nifti, "10%", (6, 55, 0, 19), (1,), (1,), "CT"),
    Example(
        "pancreas", "nifti", "dycon", sources.write_pancreas_nifti, "20%", (12, 49, 0, 19), (1,), (1,), "CT", None, True
    ),
    Example("pancreas", "dicom", "mc-net", sources.write_pancreas_dicom, "20%", (12, 49, 0, 19), (1,), (1,), "CT"),
    Example(
        "brats19", "h5", "ssl4mis", sources.write_brats19_h5, "10%", (25, 225, 25, 60), (1,), (1,), "FLAIR", (1, 1, 1)
    ),
    Example(
        "brats19",
        "nifti",
        "ssl4mis",
        sources.write_brats19_nifti,
        "20%",
        (50, 200, 25, 60),
        (1, 2, 4),
        (1, 1, 1),
        "FLAIR",
    ),
    Example("isles22", "nifti", "fold0", sources.write_isles22_nifti, "5%", (10, 190, 25, 25), (1,), (1,), "DWI"),
    Example(
        "isles22",
        "nifti",
        "fold2",
        sources.write_isles22_nifti,
        "10%",
        (20, 180, 25, 25),
        (1,),
        (1,),
        "DWI",
        None,
        True,
    ),
    Example(
        "acdc",
        "h5",
        "ssl4mis",
        sources.write_acdc_h5,
        "5%",
        (6, 134, 20, 40),
        (1, 2, 3),
        (1, 2, 3),
        "cine_MRI",
        (1.5, 1.5, 10.0),
    ),
    Example(
        "acdc",
        "nifti",
        "ssl4mis",
        sources.write_acdc_nifti,
        "10%",
        (14, 126, 20, 40),
        (1, 2, 3),
        (1, 2, 3),
        "cine_MRI",
    ),
]


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty nnUNet_raw."""
    monkeypatch.delenv("nnUNet_preprocessed", raising=False)
    monkeypatch.delenv("nnUNet_results", raising=False)
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    (tmp_path / "raw").mkdir()
    return tmp_path / "raw"


def names(folder: Path, ending: str) -> list[str]:
    return sorted(file.name.removesuffix(ending) for file in folder.iterdir())


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_every_format(example: Example, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    split, source = example.published, tmp_path / "source"
    train = [case for case in split.train if case not in split.left_out]
    labeled, unlabeled, validation, test = example.counts
    write_source(source, split, example.writer, example.values, garbage=train[labeled:])
    options = ["--split", example.split] if example.is_given else []
    arguments = ["convert", example.data_set, str(source), "-o", "501", "--labels", example.labels, "-np", "1"]
    assert main([*arguments, *options]) == 0
    output = capsys.readouterr().out
    assert f"{labeled} labeled, {unlabeled} unlabeled, {validation} validation, {test} test cases" in output
    (target,) = raw.iterdir()
    record = json.loads((target / "convert.json").read_text())

    # Who is where, by the published lists.
    assert record["labeled"] == train[:labeled]
    assert record["unlabeled"] == train[labeled:]
    assert record["test"] == [case for case in split.test if case not in split.left_out]
    assert record["validation"] == list(split.validation)
    assert tuple(len(record[role]) for role, _ in FOLDERS) == example.counts
    placed = [case for role, _ in FOLDERS for case in record[role]]
    assert len(placed) == len(set(placed)) == len(split.cases) - len(split.left_out)
    assert record["split"] == {"name": split.name, "source": split.source}
    for role, folder in FOLDERS:
        if record[role]:
            assert names(target / f"images{folder}", "_0000.nii.gz") == sorted(record[role])
    # Labels of labeled, validation and test cases, and no others anywhere.
    with_labels = [case for role in ("labeled", "validation", "test") for case in record[role]]
    assert sorted(file.name for file in target.glob("labels*/*")) == sorted(f"{case}.nii.gz" for case in with_labels)
    assert not (target / "labelsUnlabeled").exists()

    _check_geometry(example, target, record, list(split.cases))
    dataset_json = json.loads((target / "dataset.json").read_text())
    assert dataset_json["channel_names"] == {"0": example.channel}
    assert dataset_json["numTraining"] == labeled
    assert sorted(dataset_json["labels"].values()) == list(range(1 + max(example.new_values)))
    assert dataset_json["name"] == target.name


def _check_geometry(example: Example, target: Path, record: dict, cases: list[str]) -> None:
    for role, folder in FOLDERS:
        for case in record[role][:2]:
            image = sitk.ReadImage(str(target / f"images{folder}" / f"{case}_0000.nii.gz"))
            assert image.GetSize() == SIZE
            assert image.GetSpacing() == pytest.approx(example.spacing or SPACING)
            if example.spacing is None:
                assert image.GetOrigin() == pytest.approx(ORIGIN)
            if example.spacing is None and example.format != "dicom":
                assert image.GetDirection() == pytest.approx(DIRECTION)
            expected = sources.image_of(cases.index(case))
            found = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
            np.testing.assert_array_equal(found, expected.astype(found.dtype))
            if role != "unlabeled":
                label = sitk.ReadImage(str(target / f"labels{folder}" / f"{case}.nii.gz"))
                assert label.GetSpacing() == image.GetSpacing()
                assert label.GetOrigin() == image.GetOrigin()
                assert label.GetDirection() == image.GetDirection()
                assert label.GetPixelID() == sitk.sitkUInt8
                found = sitk.GetArrayFromImage(label).transpose(2, 1, 0)
                np.testing.assert_array_equal(found, sources.label_of(example.new_values))


@pytest.fixture
def la(raw: Path, tmp_path: Path) -> Path:
    """LA as the challenge released it."""
    write_source(tmp_path / "la", read_published_split("la", "ua-mt"), sources.write_la_nrrd, (1,), garbage=())
    assert not list(raw.iterdir())
    return tmp_path / "la" / "Training Set"


def convert(source: Path, *options: str, name: str = "la") -> int:
    amount = [] if "-n" in options or "--labels" in options else ["-n", "4"]
    return main(["convert", name, str(source), "-o", "501", "-np", "1", *amount, *options])


def test_missing_files_are_named_and_nothing_is_written(
    la: Path, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = read_published_split("la", "ua-mt")
    (la / split.test[0] / "lgemri.nrrd").unlink()
    (la / split.train[0] / "laendo.nrrd").unlink()
    (la / split.train[70] / "laendo.nrrd").unlink()
    assert convert(la) == 1
    error = capsys.readouterr().err
    assert f"no scan of {split.test[0]} and no label of {split.train[0]} (looked for CASE/lgemri.nrrd" in error
    # The label of an unlabeled case is not needed.
    assert split.train[70] not in error
    assert not list(raw.iterdir())
    assert convert(la, "--without", split.test[0], split.train[0]) == 0
    record = json.loads(next(raw.glob("*/convert.json")).read_text())
    assert record["labeled"] == list(split.train[1:5])
    assert set(record["left_out"]) == {*split.left_out, split.test[0], split.train[0]}
    assert len(record["test"]) == 19


def test_files_of_no_list_are_named_and_left_out(la: Path, raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sources.write_la_nrrd(la.parent, "ANOTHER", sources.image_of(1), None)
    assert convert(la) == 0
    assert "ANOTHER is in no list of the split and is left out." in capsys.readouterr().out
    assert not list(raw.rglob("ANOTHER*"))
    assert json.loads(next(raw.glob("*/convert.json")).read_text())["in_no_list"] == ["ANOTHER"]


def test_a_dataset_is_never_overwritten(
    la: Path, raw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    preprocessed = raw.parent / "preprocessed"
    monkeypatch.setenv("nnUNet_preprocessed", str(preprocessed))
    for folder in (preprocessed, raw):
        (folder / "Dataset501_LA_4labeled").mkdir(parents=True)
        assert convert(la) == 1
        assert f"{folder / 'Dataset501_LA_4labeled'} exists: choose another ID or name" in capsys.readouterr().err
        (folder / "Dataset501_LA_4labeled").rmdir()
    assert convert(la) == 0
    before = sorted(raw.rglob("*"))
    assert convert(la, "-n", "4") == 1
    assert sorted(raw.rglob("*")) == before


def test_a_label_that_cannot_be_used_leaves_nothing(la: Path, raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = read_published_split("la", "ua-mt").train[2]
    sources._write_itk(la / case / "laendo.nrrd", sources.label_of((7,)))
    assert convert(la) == 1
    assert f"{case}/laendo.nrrd holds the label 7, and this data set has 0, 255" in capsys.readouterr().err
    assert convert(la, "-np", "2") == 1
    (la / case / "laendo.nrrd").write_bytes(sources.GARBAGE)
    assert convert(la) == 1
    assert f"{case}/laendo.nrrd cannot be read: replace it" in capsys.readouterr().err
    assert not list(raw.iterdir())


def test_several_processes_make_the_same(la: Path, raw: Path) -> None:
    assert convert(la) == 0
    assert main(["convert", "la", str(la), "-o", "Dataset502_Again", "-n", "4", "-np", "2"]) == 0
    first, second = raw / "Dataset501_LA_4labeled", raw / "Dataset502_Again"
    files = sorted(file.relative_to(first) for file in first.rglob("*.nii.gz"))
    assert files == sorted(file.relative_to(second) for file in second.rglob("*.nii.gz"))
    for file in files:
        assert (first / file).read_bytes() == (second / file).read_bytes()


def test_two_formats_in_a_folder_need_a_choice(la: Path, raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """UA-MT's preprocessing writes its h5 files beside the originals."""
    for folder in list(la.iterdir()):
        sources._write_h5(folder / "mri_norm2.h5", sources.image_of(0), sources.label_of((1,)))
    assert convert(la) == 1
    assert "--format h5" in capsys.readouterr().err
    assert convert(la, "--format", "h5", "--spacing", "1", "2", "3") == 0
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
        (["--labels", "100%"], "--labels 100% of the 80 training patients are 80"),
        (["-np", "0"], "-np must be at least 1"),
    ],
)
def test_options_that_are_refused(
    la: Path, raw: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(la, *options) == 1
    assert message in " ".join(capsys.readouterr().err.split())
    assert not list(raw.iterdir())


@pytest.mark.parametrize(("share", "message"), [("8", "write 8%, or give a number"), ("few%", "is no share such as")])
def test_shares_that_are_none(raw: Path, share: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        convert(raw, "--labels", share)
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("raw")
def test_a_folder_without_the_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(tmp_path / "nowhere") == 1
    assert "nowhere is no folder" in capsys.readouterr().err
    for name in ("la", "pancreas", "brats19", "isles22", "acdc"):
        assert convert(tmp_path, name=name) == 1
        assert f"has no files of {name}: name the folder that has" in capsys.readouterr().err


def test_both_frames_of_a_patient_are_labeled_or_none(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = read_published_split("acdc", "ssl4mis")
    write_source(tmp_path / "acdc", split, sources.write_acdc_h5, (1, 2, 3), garbage=())
    assert convert(tmp_path / "acdc", "-n", "7", name="acdc") == 1
    assert "-n 7 would label a part of the scans of patient100 alone: give 6 or 8" in capsys.readouterr().err
    assert convert(tmp_path / "acdc", "-n", "1", name="acdc") == 1
    assert "alone: give 2" in capsys.readouterr().err
    # A slice that is missing would shorten a scan.
    (tmp_path / "acdc" / "data" / "slices" / f"{split.train[0]}_slice_2.h5").unlink()
    assert convert(tmp_path / "acdc", name="acdc") == 1
    assert f"slice 2 of {split.train[0]} is missing" in capsys.readouterr().err
    assert not list(raw.iterdir())


def test_pancreas_says_what_the_published_test_sets_are(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = read_published_split("pancreas", "dycon")
    write_source(tmp_path / "p", split, sources.write_pancreas_dycon_h5, (1,), garbage=())
    assert convert(tmp_path / "p", name="pancreas") == 0
    output = capsys.readouterr().out
    assert "test on test1.list, whose 20 cases are all in train.list" in output
    assert "PANCREAS_0070 is left out: the same scan as case 2" in output
    record = json.loads(next(raw.glob("*/convert.json")).read_text())
    assert not {"PANCREAS_0025", "PANCREAS_0070"} & {*record["train"], *record["test"]}
    assert not {*record["train"]} & {*record["test"]}


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
        assert convert(tmp_path / "b", name="brats19") == 1
        assert message in capsys.readouterr().err
    file.write_bytes(b"no HDF5")
    assert convert(tmp_path / "b", name="brats19") == 1
    assert f"{file} cannot be read as HDF5: replace it" in capsys.readouterr().err
    assert not list(raw.iterdir())


def test_without_h5py(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_source(tmp_path / "la", read_published_split("la", "ua-mt"), sources.write_la_h5, (1,), garbage=())
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    assert convert(tmp_path / "la") == 1
    assert 'pip install "nnunetv2_dycon[convert]"' in capsys.readouterr().err
    assert not list(raw.iterdir())
