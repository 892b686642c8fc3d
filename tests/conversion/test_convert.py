"""The command, on files of every format that people have of every data set."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_dycon.commands.main import main
from nnunetv2_dycon.conversion.published_splits import PublishedSplit, read_published_split
from tests.conversion import sources
from tests.conversion.sources import DIRECTION, ORIGIN, SIZE, SPACING, Writer, run_convert, write_source

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


def names(folder: Path, ending: str) -> list[str]:
    return sorted(file.name.removesuffix(ending) for file in folder.iterdir())


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_every_format(example: Example, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    split, source = example.published, tmp_path / "source"
    train = [case for case in split.train if case not in split.left_out]
    labeled, unlabeled, validation, test = example.counts
    write_source(source, split, example.writer, example.values, garbage=train[labeled:])
    options = ["--split", example.split] if example.is_given else []
    arguments = ["convert", example.data_set, "-i", str(source), "-o", "501", "--labels", example.labels, "-np", "1"]
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


def test_files_of_no_list_are_named_and_left_out(la: Path, raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sources.write_la_nrrd(la.parent, "ANOTHER", sources.image_of(1), None)
    assert run_convert(la) == 0
    assert "ANOTHER is in no list of the split and is left out." in capsys.readouterr().out
    assert not list(raw.rglob("ANOTHER*"))
    assert json.loads(next(raw.glob("*/convert.json")).read_text())["in_no_list"] == ["ANOTHER"]


def test_several_processes_make_the_same(la: Path, raw: Path) -> None:
    assert run_convert(la) == 0
    assert main(["convert", "la", "-i", str(la), "-o", "Dataset502_Again", "-n", "4", "-np", "2"]) == 0
    first, second = raw / "Dataset501_LA_4labeled", raw / "Dataset502_Again"
    files = sorted(file.relative_to(first) for file in first.rglob("*.nii.gz"))
    assert files == sorted(file.relative_to(second) for file in second.rglob("*.nii.gz"))
    for file in files:
        assert (first / file).read_bytes() == (second / file).read_bytes()


def test_all_labels_and_fewer_of_them_by_simulate(la: Path, raw: Path) -> None:
    assert run_convert(la, "--labels", "100%") == 0
    (target,) = raw.iterdir()
    assert len(list((target / "labelsTr").iterdir())) == 79
    assert not (target / "imagesUnlabeled").exists()
    protocol = target / "convert.json"
    assert main(["simulate", "-d", "501", "-o", "502", "-n", "8", "--protocol", str(protocol)]) == 0
    fewer = next(raw.glob("Dataset502*"))
    train = json.loads(protocol.read_text())["train"]
    assert names(fewer / "labelsTr", ".nii.gz") == sorted(train[:8])
    assert names(fewer / "imagesUnlabeled", "_0000.nii.gz") == sorted(train[8:])
    assert names(fewer / "labelsTs", ".nii.gz") == names(target / "labelsTs", ".nii.gz")


def test_pancreas_says_what_the_published_test_sets_are(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = read_published_split("pancreas", "dycon")
    write_source(tmp_path / "p", split, sources.write_pancreas_dycon_h5, (1,), garbage=())
    assert run_convert(tmp_path / "p", name="pancreas") == 0
    output = capsys.readouterr().out
    assert "test on test1.list, whose 20 cases are all in train.list" in output
    assert "PANCREAS_0070 is left out: the same scan as case 2" in output
    record = json.loads(next(raw.glob("*/convert.json")).read_text())
    assert not {"PANCREAS_0025", "PANCREAS_0070"} & {*record["train"], *record["test"]}
    assert not {*record["train"]} & {*record["test"]}
