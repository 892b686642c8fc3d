from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity

from nnunetv2_dycon.demo.dataset import generate_scan, write_demo_dataset
from nnunetv2_dycon.exceptions import UserError

SHAPE = (14, 16, 16)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_writes_raw_layout_with_no_label_for_unlabeled_cases(tmp_path: Path) -> None:
    write_demo_dataset(tmp_path / "d", labeled=2, unlabeled=3, test=1, shape=SHAPE)
    folder = tmp_path / "d"
    assert names(folder) == ["dataset.json", "imagesTr", "imagesTs", "imagesUnlabeled", "labelsTr", "labelsTs"]
    assert names(folder / "imagesTr") == ["demo_000_0000.nii.gz", "demo_001_0000.nii.gz"]
    assert names(folder / "labelsTr") == ["demo_000.nii.gz", "demo_001.nii.gz"]
    assert names(folder / "imagesUnlabeled") == [f"demo_00{i}_0000.nii.gz" for i in (2, 3, 4)]
    assert names(folder / "imagesTs") == ["demo_005_0000.nii.gz"]
    assert names(folder / "labelsTs") == ["demo_005.nii.gz"]


def test_default_numbers_of_cases(tmp_path: Path) -> None:
    write_demo_dataset(tmp_path, shape=SHAPE)
    counts = {folder.name: len(names(folder)) for folder in tmp_path.iterdir() if folder.is_dir()}
    assert counts == {"imagesTr": 4, "labelsTr": 4, "imagesUnlabeled": 12, "imagesTs": 4, "labelsTs": 4}
    dataset_json = json.loads((tmp_path / "dataset.json").read_text())
    assert dataset_json["numTraining"] == 4
    assert dataset_json["labels"] == {"background": 0, "organ": 1, "lesion": 2}


def test_nnunet_finds_the_dataset_sound(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_demo_dataset(tmp_path, labeled=2, unlabeled=0, test=0, shape=SHAPE, channels=2)
    verify_dataset_integrity(str(tmp_path), num_processes=1)
    assert "Done" in capfd.readouterr().out
    assert names(tmp_path) == ["dataset.json", "imagesTr", "labelsTr"]


def test_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_demo_dataset(tmp_path / name, labeled=1, unlabeled=1, test=1, shape=SHAPE, seed=seed)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a") != contents(tmp_path / "c")


def test_no_two_cases_show_the_same_anatomy(tmp_path: Path) -> None:
    write_demo_dataset(tmp_path, labeled=2, unlabeled=2, test=2, shape=SHAPE)
    images = [
        file.read_bytes()
        for folder in ("imagesTr", "imagesUnlabeled", "imagesTs")
        for file in (tmp_path / folder).iterdir()
    ]
    assert len(set(images)) == 6


def test_spacing_is_written_in_the_order_of_the_axes(tmp_path: Path) -> None:
    write_demo_dataset(tmp_path, labeled=1, unlabeled=0, test=0, shape=(14, 20, 20))
    image = sitk.ReadImage(str(tmp_path / "imagesTr" / "demo_000_0000.nii.gz"))
    label = sitk.ReadImage(str(tmp_path / "labelsTr" / "demo_000.nii.gz"))
    x, y, z = image.GetSpacing()
    assert x == y
    assert z != x
    assert 1.0 <= z <= 1.4
    assert image.GetSpacing() == label.GetSpacing()
    assert image.GetSize() == label.GetSize()
    assert sitk.GetArrayFromImage(image).dtype == np.int16


def test_refuses_to_write_over_files(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(UserError, match="is not empty"):
        write_demo_dataset(tmp_path, shape=SHAPE)
    assert names(tmp_path) == ["mine.txt"]


def test_refuses_a_dataset_without_labeled_cases(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="labeled=0"):
        write_demo_dataset(tmp_path / "d", labeled=0)
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("shape", [(12, 12, 12), (16, 24, 24), (40, 44, 44)])
@pytest.mark.parametrize("seed", range(8))
def test_every_scan_has_background_organ_and_lesion(shape: tuple[int, int, int], seed: int) -> None:
    scan = generate_scan(shape, seed=seed)
    assert set(np.unique(scan.labels)) == {0, 1, 2}
    assert scan.channels.shape == (1, *scan.labels.shape)
    assert scan.channels.dtype == np.int16


def test_lesions_are_small_and_brighter_than_the_organ() -> None:
    for seed in range(8):
        scan = generate_scan((40, 44, 44), seed=seed)
        lesion, organ, background = (scan.channels[0][scan.labels == value].mean() for value in (2, 1, 0))
        assert background < organ < lesion
        assert (scan.labels == 2).sum() < 0.6 * (scan.labels == 1).sum()


def test_same_seed_gives_the_same_scan_and_another_seed_another() -> None:
    first, same, other = (generate_scan((20, 20, 20), seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.channels, same.channels)
    np.testing.assert_array_equal(first.labels, same.labels)
    assert first.spacing == same.spacing
    assert first.labels.shape != other.labels.shape or np.any(first.labels != other.labels)


def test_spacing_and_shape_vary_between_scans() -> None:
    scans = [generate_scan((40, 44, 44), seed=seed) for seed in range(6)]
    assert len({scan.spacing for scan in scans}) == 6
    assert len({scan.labels.shape for scan in scans}) > 3
    for scan in scans:
        assert np.all(np.abs(np.array(scan.labels.shape) / (40, 44, 44) - 1) <= 0.13)


def test_channels_show_the_same_anatomy_in_different_contrast() -> None:
    scan = generate_scan((20, 20, 20), channels=3, seed=0)
    assert scan.channels.shape[0] == 3
    assert np.any(scan.channels[0] != scan.channels[1])
    for channel in scan.channels:
        assert channel[scan.labels == 1].mean() > channel[scan.labels == 0].mean()


@pytest.mark.parametrize(("shape", "channels"), [((11, 20, 20), 1), ((20, 20, 20), 0)])
def test_refuses_what_cannot_hold_an_organ(shape: tuple[int, int, int], channels: int) -> None:
    with pytest.raises(ValueError, match="at least 12 voxels"):
        generate_scan(shape, channels=channels, seed=0)
