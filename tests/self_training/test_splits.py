from __future__ import annotations

import json
from pathlib import Path

import pytest
from nnunetv2.utilities.crossval_split import generate_crossval_split

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.self_training.splits import write_pseudo_labeled_splits

LABELED, PSEUDO_LABELED = ["a", "b", "c", "d", "e", "f"], ["x", "y"]


def written(folder: Path) -> list[dict[str, list[str]]]:
    return json.loads((folder / "splits_final.json").read_text())


def test_validation_cases_stay_and_pseudo_labels_are_for_training(tmp_path: Path) -> None:
    splits = [{"train": ["a", "b"], "val": ["c"]}, {"train": ["c"], "val": ["a", "b"]}]
    (tmp_path / "splits_final.json").write_text(json.dumps(splits))
    returned = write_pseudo_labeled_splits(tmp_path, LABELED, PSEUDO_LABELED, tmp_path / "new")
    expected = [{"train": ["a", "b", "x", "y"], "val": ["c"]}, {"train": ["c", "x", "y"], "val": ["a", "b"]}]
    assert returned == written(tmp_path / "new") == expected
    assert write_pseudo_labeled_splits(tmp_path, LABELED, PSEUDO_LABELED, tmp_path / "new") == expected


def test_folds_that_nnunet_would_make_are_made(tmp_path: Path) -> None:
    write_pseudo_labeled_splits(tmp_path, LABELED, PSEUDO_LABELED, tmp_path / "new")
    for made, expected in zip(
        written(tmp_path / "new"), generate_crossval_split(LABELED, seed=12345, n_splits=5), strict=True
    ):
        assert made == {"train": [*map(str, expected["train"]), "x", "y"], "val": [*map(str, expected["val"])]}
    assert not (tmp_path / "splits_final.json").exists()


def test_few_labels_have_no_folds(tmp_path: Path) -> None:
    assert write_pseudo_labeled_splits(tmp_path, LABELED[:4], ["x"], tmp_path / "new") == []
    assert not (tmp_path / "new").exists()


def test_labels_that_are_off_limits_are_refused(tmp_path: Path) -> None:
    (tmp_path / "splits_final.json").write_text(json.dumps([{"train": ["a"], "val": ["b"], "unlabeled": ["c"]}]))
    with pytest.raises(UserError, match="off limits"):
        write_pseudo_labeled_splits(tmp_path, LABELED, PSEUDO_LABELED, tmp_path / "new")


def test_other_folds_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "splits_final.json").write_text("[]")
    with pytest.raises(UserError, match=r"other folds.* restore the folds, or choose another -o"):
        write_pseudo_labeled_splits(tmp_path, LABELED, PSEUDO_LABELED, tmp_path / "new")
    assert written(tmp_path / "new") == []
