"""A raw dataset with predictions of its unlabeled scans."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from nnunetv2_dycon.demo.dataset import write_demo_dataset


@dataclass(frozen=True)
class Predicted:
    """A raw dataset and, for predictions of its unlabeled scans, the labels of its labeled ones."""

    raw: Path
    predictions: Path
    target: Path


@pytest.fixture
def predicted(tmp_path: Path) -> Predicted:
    """``demo_000`` to ``demo_004`` are labeled, ``demo_005`` and ``demo_006`` unlabeled and predicted."""
    raw, predictions = tmp_path / "raw" / "Dataset501_Demo", tmp_path / "model" / "fold_0" / "predictions"
    write_demo_dataset(raw, labeled=5, unlabeled=2, test=0, shape=(12, 12, 12), channels=2)
    predictions.mkdir(parents=True)
    for source, case in (("demo_000", "demo_005"), ("demo_001", "demo_006")):
        shutil.copyfile(raw / "labelsTr" / f"{source}.nii.gz", predictions / f"{case}.nii.gz")
    (predictions / "dataset.json").write_text("{}")
    return Predicted(raw, predictions, tmp_path / "raw" / "Dataset502_Demo_self_training")


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
