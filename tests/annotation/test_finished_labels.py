"""Which labels are finished, and which fit their scan."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from skimage import io

from nnunetv2_dycon.annotation.finished_labels import check_label, find_finished_labels
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.files import hash_file
from tests.annotation.conftest import DIRECTION, RawDataset, write_image, write_label


def scan(few: RawDataset) -> list[Path]:
    return [few.raw / "imagesUnlabeled" / f"c_{channel:04d}.nii.gz" for channel in range(2)]


def check(few: RawDataset, file: Path) -> None:
    check_label(file, scan(few), few.dataset_json)


@pytest.mark.parametrize("value", [0, 1, 2, 3])
def test_every_label_of_the_dataset_is_accepted(few: RawDataset, tmp_path: Path, value: int) -> None:
    write_label(tmp_path / "c.nii.gz", value)
    check(few, tmp_path / "c.nii.gz")


def test_labels_of_regions_are_accepted(few: RawDataset, tmp_path: Path) -> None:
    few.write_dataset_json(labels={"background": 0, "whole": [1, 2], "inner": 2}, regions_class_order=[1, 2])
    write_label(tmp_path / "c.nii.gz", 2)
    check(few, tmp_path / "c.nii.gz")
    write_label(tmp_path / "c.nii.gz", 3)
    with pytest.raises(UserError, match=r"holds the value 3, and dataset\.json has the labels 0, 1, 2: correct"):
        check(few, tmp_path / "c.nii.gz")


@pytest.mark.parametrize(
    ("geometry", "message"),
    [
        ({"Spacing": (0.7, 1.5, 3.3)}, r"another spacing \(0\.7, 1\.5, 3\.3 mm, the scan 0\.7, 1\.5, 3 mm\)"),
        ({"Origin": (-11.0, 20.0, 4.0)}, r"another origin \(-11, 20, 4 mm, the scan -11, 20, 3 mm\)"),
        ({"Direction": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)}, "another direction than its scan"),
        ({"Direction": tuple(-each for each in DIRECTION)}, "another direction than its scan"),
    ],
)
def test_another_geometry_is_refused(
    few: RawDataset, tmp_path: Path, geometry: dict[str, tuple[float, ...]], message: str
) -> None:
    write_label(tmp_path / "c.nii.gz", **geometry)
    with pytest.raises(UserError, match=message):
        check(few, tmp_path / "c.nii.gz")


def test_rounded_headers_are_accepted(few: RawDataset, tmp_path: Path) -> None:
    write_label(tmp_path / "c.nii.gz", Origin=(-11.001, 20.0, 3.002), Spacing=(0.70001, 1.5, 3.0))
    check(few, tmp_path / "c.nii.gz")


@pytest.mark.parametrize("reader", ["NibabelIO", "NibabelIOWithReorient", "SimpleITKIOWithReorient"])
def test_geometry_is_checked_with_every_reader(few: RawDataset, tmp_path: Path, reader: str) -> None:
    few.write_dataset_json(overwrite_image_reader_writer=reader)
    write_label(tmp_path / "c.nii.gz")
    check(few, tmp_path / "c.nii.gz")
    write_label(tmp_path / "c.nii.gz", Origin=(-11.0, 20.0, 5.0))
    with pytest.raises(UserError, match="another origin"):
        check(few, tmp_path / "c.nii.gz")


def test_other_files_are_refused(few: RawDataset, tmp_path: Path) -> None:
    file = tmp_path / "c.nii.gz"
    write_image(file, np.zeros((3, 5, 4), np.uint8))
    with pytest.raises(UserError, match=r"has 3 x 5 x 4 voxels and its scan c_0000\.nii\.gz 3 x 4 x 5"):
        check(few, file)
    write_image(file, np.full((3, 4, 5), 0.5, np.float32))
    with pytest.raises(UserError, match=r"holds the value 0\.5"):
        check(few, file)
    write_image(file, np.full((3, 4, 5), np.nan, np.float32))
    with pytest.raises(UserError, match="holds values that are NaN or infinite: save it as whole numbers"):
        check(few, file)
    write_label(file)
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes())[:-20]))
    with pytest.raises(UserError, match=r"cannot be read .*save it again with the annotation tool"):
        check(few, file)
    few.write_dataset_json(overwrite_image_reader_writer="NoReader")
    with pytest.raises(UserError, match="names the reader NoReader"):
        check(few, file)


def test_further_channels_must_fit_the_first(few: RawDataset, tmp_path: Path) -> None:
    write_label(tmp_path / "c.nii.gz")
    _, second = scan(few)
    write_image(second, np.ones((3, 4, 6), np.float32))
    with pytest.raises(UserError, match=r"c_0001\.nii\.gz has 3 x 4 x 6 voxels and c_0000\.nii\.gz 3 x 4 x 5: replace"):
        check(few, tmp_path / "c.nii.gz")
    second.write_bytes(b"no scan")
    with pytest.raises(UserError, match=r"c_0001\.nii\.gz cannot be read .*: replace the scan"):
        check(few, tmp_path / "c.nii.gz")


def test_a_label_that_is_ignored_whole_says_nothing(few: RawDataset, tmp_path: Path) -> None:
    values = np.full((3, 4, 5), 3, np.uint8)
    write_image(tmp_path / "c.nii.gz", values)
    with pytest.raises(UserError, match="holds nothing but the ignore label: annotate some of it"):
        check(few, tmp_path / "c.nii.gz")
    values[0, 0, 0] = 0
    write_image(tmp_path / "c.nii.gz", values)
    check(few, tmp_path / "c.nii.gz")


@pytest.mark.parametrize("channels", [3, 4])
def test_a_label_in_colour_is_refused(tmp_path: Path, channels: int) -> None:
    dataset_json = {"labels": {"background": 0, "cell": 1}, "file_ending": ".png"}
    for name in ("c_0000", "c"):
        io.imsave(tmp_path / f"{name}.png", np.ones((3, 5, channels), np.uint8), check_contrast=False)
    with pytest.raises(UserError, match=rf"c\.png has {channels} channels, as images in colour do"):
        check_label(tmp_path / "c.png", [tmp_path / "c_0000.png"], dataset_json)


def test_2d_images(tmp_path: Path) -> None:
    dataset_json = {"labels": {"background": 0, "cell": 1}, "file_ending": ".png"}
    io.imsave(tmp_path / "c_0000.png", np.arange(12, dtype=np.uint8).reshape(3, 4), check_contrast=False)
    for name, size in (("right", (3, 4)), ("wrong", (4, 3))):
        io.imsave(tmp_path / f"{name}.png", np.ones(size, np.uint8), check_contrast=False)
    check_label(tmp_path / "right.png", [tmp_path / "c_0000.png"], dataset_json)
    with pytest.raises(UserError, match="has 1 x 4 x 3 voxels"):
        check_label(tmp_path / "wrong.png", [tmp_path / "c_0000.png"], dataset_json)

    dataset_json["file_ending"] = ".nii.gz"
    for name, origin in (("c_0000", 0.0), ("right", 0.01), ("wrong", 2.0)):
        image = sitk.GetImageFromArray(np.ones((3, 4), np.uint8))
        image.SetSpacing((0.5, 0.75))
        image.SetOrigin((0.0, origin))
        sitk.WriteImage(image, str(tmp_path / f"{name}.nii.gz"))
    check_label(tmp_path / "right.nii.gz", [tmp_path / "c_0000.nii.gz"], dataset_json)
    with pytest.raises(UserError, match="another origin"):
        check_label(tmp_path / "wrong.nii.gz", [tmp_path / "c_0000.nii.gz"], dataset_json)


def test_labels_that_rank_wrote_are_not_finished(tmp_path: Path) -> None:
    for case in "cde":
        write_label(tmp_path / "labels" / f"{case}.nii.gz")
    record = {"dataset": "Dataset601_Few", "cases": {}}
    for case in "cd":
        record["cases"][case] = {"pre_segmentation_sha256": hash_file(tmp_path / "labels" / f"{case}.nii.gz")}
    (tmp_path / "annotation.json").write_text(json.dumps(record))
    write_label(tmp_path / "labels" / "d.nii.gz", 2)
    (tmp_path / "labels" / "d.seg.nrrd").touch()
    (tmp_path / "labels" / "._d.nii.gz").touch()
    found = find_finished_labels(tmp_path, ".nii.gz", "Dataset601_Few")
    assert list(found.finished) == ["d", "e"]
    assert found.unchanged == ["c"]
    assert [file.name for file in found.others] == ["d.seg.nrrd"]
    assert list(find_finished_labels(tmp_path, ".nii.gz", "Dataset601_Few", ["c", "c"]).finished) == ["c"]
    with pytest.raises(UserError, match=r"x\.nii\.gz is not there: correct --cases or -i"):
        find_finished_labels(tmp_path, ".nii.gz", "Dataset601_Few", ["x"])
    with pytest.raises(UserError, match="was made for Dataset601_Few, not for Dataset602_Other"):
        find_finished_labels(tmp_path, ".nii.gz", "Dataset602_Other")


def test_labels_of_any_folder_are_finished(tmp_path: Path) -> None:
    write_label(tmp_path / "c.nii.gz")
    found = find_finished_labels(tmp_path, ".nii.gz", "Dataset601_Few")
    assert (found.finished, found.unchanged, found.others) == ({"c": tmp_path / "c.nii.gz"}, [], [])
    with pytest.raises(UserError, match="missing is not a folder"):
        find_finished_labels(tmp_path / "missing", ".nii.gz", "Dataset601_Few")


def test_what_is_no_label_is_not_passed_over(tmp_path: Path) -> None:
    def find() -> list[str]:
        return list(find_finished_labels(tmp_path, ".nii.gz", "Dataset601_Few").finished)

    with pytest.raises(UserError, match=r"has no label named CASE\.nii\.gz: name the folder"):
        find()
    (tmp_path / "c.nii").touch()
    with pytest.raises(UserError, match=r"has no label named CASE\.nii\.gz, but c\.nii: name the folder"):
        find()
    label = tmp_path / "c.nii.gz"
    label.symlink_to(tmp_path / "gone.nii.gz")
    with pytest.raises(UserError, match=r"c\.nii\.gz is a link to a file that is not there: replace it"):
        find()
    label.unlink()
    label.mkdir()
    with pytest.raises(UserError, match=r"c\.nii\.gz is a folder: replace it"):
        find()
    label.rmdir()
    write_label(tmp_path / "elsewhere" / "c.nii.gz")
    label.symlink_to(tmp_path / "elsewhere" / "c.nii.gz")
    assert find() == ["c"]


@pytest.mark.parametrize("cases", [["c"], None, {"c": {}}, {"c": None}])
def test_a_damaged_record_is_refused(tmp_path: Path, cases: object) -> None:
    write_label(tmp_path / "c.nii.gz")
    (tmp_path / "annotation.json").write_text(json.dumps({"dataset": "Dataset601_Few", "cases": cases}))
    with pytest.raises(UserError, match=r"annotation\.json: cases.*Correct the file"):
        find_finished_labels(tmp_path, ".nii.gz", "Dataset601_Few")
