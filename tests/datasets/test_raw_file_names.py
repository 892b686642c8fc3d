"""How files of raw datasets are named."""

from __future__ import annotations

from pathlib import Path

from nnunetv2_dycon.datasets.raw_file_names import images_by_case, place_images, place_labels


def test_images_are_found_by_case_and_channel_and_others_are_told_apart(tmp_path: Path) -> None:
    for name in ("b_0000.tif", "a_0001.tif", "a_0000.tif", "a.tif", "a_0000.tiff", "._a_0000.tif"):
        (tmp_path / name).touch()
    images, others = images_by_case(tmp_path, ".tif")
    assert images == {
        "a": {0: tmp_path / "a_0000.tif", 1: tmp_path / "a_0001.tif"},
        "b": {0: tmp_path / "b_0000.tif"},
    }
    assert others == [tmp_path / "a.tif", tmp_path / "a_0000.tiff"]


def test_files_get_the_names_of_the_raw_layout_and_a_tiff_keeps_its_spacing(tmp_path: Path) -> None:
    (tmp_path / "x.json").touch()
    new = tmp_path / "imagesTr"
    images = {"a": (tmp_path / "x_0000.tif", tmp_path / "x_0001.tif"), "b": (tmp_path / "y_0000.tif",)}
    assert dict(place_images(images, new, ".tif")) == {
        tmp_path / "x_0000.tif": new / "a_0000.tif",
        tmp_path / "x_0001.tif": new / "a_0001.tif",
        tmp_path / "x.json": new / "a.json",
        tmp_path / "y_0000.tif": new / "b_0000.tif",
    }
    labels = {"a": tmp_path / "x.tif"}
    assert dict(place_labels(labels, new, ".tif")) == {
        tmp_path / "x.tif": new / "a.tif",
        tmp_path / "x.json": new / "a.json",
    }
