"""The "unlabeled" key of splits_final.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nnunetv2_dycon.datasets.splits import (
    off_limits_cases,
    off_limits_cases_of_all_folds,
    read_or_make_splits,
    read_splits,
)
from nnunetv2_dycon.exceptions import UserError


@pytest.fixture
def splits_file(tmp_path: Path) -> Path:
    splits = [
        {"train": ["a"], "val": ["b"], "unlabeled": ["d", "c", "d"]},
        {"train": ["b"], "val": ["a"], "unlabeled": ["e", "c"]},
        {"train": ["a", "b", "c"], "val": ["d"]},
    ]
    file = tmp_path / "splits_final.json"
    file.write_text(json.dumps(splits))
    return file


def test_each_fold_has_its_own_cases(splits_file: Path) -> None:
    assert [off_limits_cases(splits_file, fold) for fold in range(3)] == [["c", "d"], ["c", "e"], []]


def test_all_folds_together(splits_file: Path) -> None:
    assert off_limits_cases_of_all_folds(splits_file) == ["c", "d", "e"]


@pytest.mark.parametrize("fold", ["all", 3])
def test_a_fold_that_nnunet_would_make_up_itself_is_refused(splits_file: Path, fold: int | str) -> None:
    with pytest.raises(UserError, match=f"labels of 3 cases off limits.*fold {fold} is not in the file"):
        off_limits_cases(splits_file, fold)


@pytest.mark.parametrize("fold", ["all", 0, 5])
def test_without_the_key_every_fold_may_be_trained(tmp_path: Path, fold: int | str) -> None:
    file = tmp_path / "splits_final.json"
    assert off_limits_cases(file, fold) == off_limits_cases_of_all_folds(file) == []
    file.write_text(json.dumps([{"train": ["a"], "val": ["b"]}]))
    assert off_limits_cases(file, fold) == off_limits_cases_of_all_folds(file) == []


@pytest.mark.parametrize("key", ["train", "val"])
def test_an_off_limits_case_that_is_also_used_with_its_label_is_refused(tmp_path: Path, key: str) -> None:
    file = tmp_path / "splits_final.json"
    split = {"train": ["a"], "val": ["b"], "unlabeled": ["c", "x", "y"]}
    split[key] += ["x", "y"]
    file.write_text(json.dumps([split]))
    with pytest.raises(UserError) as error:
        off_limits_cases(file, 0)
    assert f'Fold 0 of {file} lists x, y under "unlabeled" and under "{key}"' in str(error.value)


def test_splits_are_read_or_those_that_nnunet_makes(splits_file: Path, tmp_path: Path) -> None:
    labeled = ["f", "a", "b", "c", "d", "e"]
    assert read_or_make_splits(splits_file, labeled) == read_splits(splits_file) == json.loads(splits_file.read_text())
    missing = tmp_path / "missing.json"
    assert read_splits(missing) == read_or_make_splits(missing, labeled[:4]) == []
    made = read_or_make_splits(missing, labeled)
    assert len(made) == 5
    assert sorted(case for split in made for case in split["val"]) == sorted(labeled)
    assert all(sorted([*split["train"], *split["val"]]) == sorted(labeled) for split in made)
    assert not missing.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "not readable as JSON"),
        ("{}", "a list of folds"),
        ('[{"train": []}]', "a list of folds"),
        ("[3]", "a list"),
    ],
)
def test_a_malformed_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "splits_final.json"
    file.write_text(text)
    with pytest.raises(UserError, match=f"{file}.*{message}"):
        off_limits_cases(file, 0)
