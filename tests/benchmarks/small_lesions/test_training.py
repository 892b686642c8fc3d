from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.small_lesions import __main__, training


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Set by the benchmark, and taken back with these.
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    monkeypatch.setenv("nnUNet_compile", "f")
    folder = tmp_path / "workspace"
    training.prepare(folder, labeled=2, unlabeled=2, test=1, size=40, patch=16)
    return folder


def test_a_training_counts_patches_and_is_validated(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_STEPS_PER_EPOCH", 3)
    monkeypatch.setitem(training._SETTINGS, "wait_for_labels", False)
    result = training.train(workspace, 0.33, seed=0, epochs=2)
    assert result["fraction"] == 0.33
    assert result["steps"] == 6
    assert 0 <= result["dice"] <= 1
    assert 0 <= result["patches_with_lesion"] <= 1
    rows = __main__.table([{**result, "fraction": 0.0}, result]).splitlines()
    assert [row.split()[1] for row in rows[2:]] == ["0", "0.33"]


def test_lesions_are_counted_where_the_hidden_labels_have_them(workspace: Path) -> None:
    trainer = training.make_trainer(workspace, 0.0, seed=0, results="results")
    name, labels = next(iter(trainer.hidden_labels.items()))
    inside, outside = (np.argwhere(labels == value)[0][:, None] for value in (1, 0))
    assert trainer._shows_lesion(name, inside)
    assert not trainer._shows_lesion(name, outside)
    # What lies outside of the scan is no voxel.
    assert not trainer._shows_lesion(name, np.full((3, 1), -1))
