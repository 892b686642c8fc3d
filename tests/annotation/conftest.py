"""A raw dataset of a few voxels, for tests that train nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

DIRECTION = (0.0, -1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
DATASET = "Dataset601_Few"


@dataclass(frozen=True)
class RawDataset:
    """``a`` and ``b`` are labeled, ``c`` to ``e`` unlabeled, two channels each."""

    raw: Path
    preprocessed: Path

    @property
    def dataset_json(self) -> dict:
        return json.loads((self.raw / "dataset.json").read_text())

    def write_dataset_json(self, **changes: object) -> None:
        (self.raw / "dataset.json").write_text(json.dumps({**self.dataset_json, **changes}))

    @property
    def splits(self) -> list[dict[str, list[str]]]:
        return json.loads((self.preprocessed / "splits_final.json").read_text())

    def write_splits(self, *splits: dict[str, list[str]]) -> None:
        (self.preprocessed / "splits_final.json").write_text(json.dumps(splits))

    def files(self) -> dict[str, bytes]:
        """All files of the raw dataset and the folds, by name, hidden ones too."""
        folders = (self.raw, self.preprocessed)
        return {
            str(f.relative_to(at.parents[1])): f.read_bytes() for at in folders for f in at.rglob("*") if f.is_file()
        }


def write_image(file: Path, values: np.ndarray, **geometry: tuple[float, ...]) -> None:
    """An image on the grid of all scans, but for ``Spacing``, ``Origin`` and ``Direction`` that are given."""
    image = sitk.GetImageFromArray(values)
    grid = {"Spacing": (0.7, 1.5, 3.0), "Origin": (-11.0, 20.0, 3.0), "Direction": DIRECTION} | geometry
    for name, numbers in grid.items():
        getattr(image, f"Set{name}")(numbers)
    file.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(file), True)


def write_label(file: Path, value: int = 1, **geometry: tuple[float, ...]) -> None:
    """A label on the grid of all scans, with a voxel of a value."""
    values = np.zeros((3, 4, 5), np.uint8)
    values[1, 1, 1] = value
    write_image(file, values, **geometry)


@pytest.fixture
def few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RawDataset:
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    dataset = RawDataset(tmp_path / "nnUNet_raw" / DATASET, tmp_path / "nnUNet_preprocessed" / DATASET)
    dataset.preprocessed.mkdir()
    rng = np.random.default_rng(0)
    for case in "abcde":
        folder = dataset.raw / ("imagesTr" if case in "ab" else "imagesUnlabeled")
        for channel in range(2):
            write_image(folder / f"{case}_{channel:04d}.nii.gz", rng.random((3, 4, 5), dtype=np.float32))
    for case in "ab":
        write_label(dataset.raw / "labelsTr" / f"{case}.nii.gz")
    content = {
        "channel_names": {"0": "T1", "1": "T2"},
        "labels": {"background": 0, "organ": 1, "läsion": 2, "ignore": 3},
        "numTraining": 2,
        "file_ending": ".nii.gz",
    }
    (dataset.raw / "dataset.json").write_text(json.dumps(content))
    return dataset
