"""Labeled datasets to simulate few labels from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_dycon.demo.dataset import write_demo_dataset
from tests.label_files import write_labels


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """nnU-Net's three folders, empty."""
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    return tmp_path


@pytest.fixture
def raw_source(folders: Path) -> Path:
    """A dataset in nnU-Net's raw layout: six training cases with two channels, two labeled test cases."""
    source = folders / "nnUNet_raw" / "Dataset001_Source"
    write_demo_dataset(source, labeled=6, unlabeled=0, test=2, shape=(12, 12, 12), channels=2)
    return source


@pytest.fixture
def plain_source(tmp_path: Path) -> Path:
    """A dataset of six cases with images, labels and a protocol; all labels but those of a and b are garbage."""
    source = tmp_path / "plain"
    for folder in ("images", "labels"):
        (source / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in "abcdef":
        image = sitk.GetImageFromArray(rng.integers(0, 99, (3, 4, 5)).astype(np.int16))
        sitk.WriteImage(image, str(source / "images" / f"{name}.nii.gz"))
        (source / "labels" / f"{name}.nii.gz").write_bytes(b"no label at all: " + name.encode())
    for name in "ab":
        write_labels(source, name, (0, 1, 2))
    protocol = {"train": ["b", "a", "d", "c"], "test": ["e", "f"]}
    (source / "protocol.json").write_text(json.dumps(protocol))
    return source
