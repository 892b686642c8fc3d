"""The "unlabeled" key of splits_final.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nnunetv2_dycon.datasets.splits import off_limits_cases, off_limits_cases_of_all_folds
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
