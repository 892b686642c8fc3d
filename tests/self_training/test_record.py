"""What datasets say of their pseudo-labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.self_training.record import (
    RECORD,
    PseudoLabels,
    pseudo_labels_of,
    read_pseudo_labels,
    read_record,
)

MODEL = "nnUNetTrainer__nnUNetPlans__3d_fullres"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "Dataset501_X", None)


def write_dataset(folder: Path, pseudo_labels: PseudoLabels | None) -> Path:
    folder.mkdir()
    entry = {} if pseudo_labels is None else pseudo_labels.as_entry()
    (folder / "dataset.json").write_text(json.dumps({"labels": {"background": 0}} | entry))
    return folder


def predictions(dataset: str, fold: str) -> Path:
    return Path("/results") / dataset / MODEL / f"fold_{fold}" / "pseudo_labels"


@pytest.mark.parametrize("fold", ["3", "all"])
def test_the_fold_is_that_of_the_folder(fold: str, source: Path) -> None:
    found = pseudo_labels_of(predictions("Dataset501_X", fold), ["b", "a"], source)
    assert found == PseudoLabels([fold], ["a", "b"])


def test_a_link_is_followed(source: Path, tmp_path: Path) -> None:
    there = tmp_path / "results" / "Dataset501_X" / MODEL / "fold_2" / "pseudo_labels"
    there.mkdir(parents=True)
    (tmp_path / "link").symlink_to(there)
    assert pseudo_labels_of(tmp_path / "link", [], source).folds == ["2"]


@pytest.mark.parametrize(
    ("before", "folds"), [(["0"], ["0"]), (["1"], ["0", "1"]), (["all"], ["0", "all"]), (None, None)]
)
def test_a_second_round_adds_its_fold_to_that_of_the_first(
    before: list[str] | None, folds: list[str] | None, source: Path
) -> None:
    write_dataset(source.with_name("Dataset502_Y"), PseudoLabels(before, ["a"]))
    assert pseudo_labels_of(predictions("Dataset502_Y", "0"), ["a"], source) == PseudoLabels(folds, ["a"])


def test_the_pseudo_labels_of_the_source_stay_what_they_are(source: Path) -> None:
    second = write_dataset(source.with_name("Dataset502_Y"), PseudoLabels(["0"], ["a"]))
    assert pseudo_labels_of(predictions("Dataset502_Y", "1"), ["b"], second) == PseudoLabels(["0", "1"], ["a", "b"])


def test_of_other_folders_nothing_is_known(source: Path) -> None:
    write_dataset(source.with_name("Dataset600_Z"), None)
    for folder in (predictions("Dataset600_Z", "0"), predictions("Dataset700_Z", "0"), Path("/me/fold_0/ensemble")):
        assert pseudo_labels_of(folder, ["a"], source) == PseudoLabels(None, ["a"])


def test_a_dataset_json_without_them_says_nothing(source: Path) -> None:
    assert read_pseudo_labels(source / "dataset.json") is None


def test_damaged_entries_are_refused(source: Path) -> None:
    (source / "dataset.json").write_text('{"self_training": {"folds": "0", "cases": []}}')
    with pytest.raises(UserError, match="folds"):
        read_pseudo_labels(source / "dataset.json")
    (source / RECORD).write_text('{"source": "Dataset501_X", "predictions": null, "pseudo_labeled": []}')
    with pytest.raises(UserError, match="predictions"):
        read_record(source)
