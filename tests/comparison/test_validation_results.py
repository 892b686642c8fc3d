"""Reading what nnU-Net writes about validation cases."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from nnunetv2_dycon.comparison.validation_results import read_validation_results, validated_cases, validated_folds
from nnunetv2_dycon.exceptions import UserError


def test_dice_by_case_and_class(write_model: Callable[..., Path]) -> None:
    model = write_model("nnUNetTrainer", {"0": {"a.b": (10, 5)}, "1": {"c": (5, 10)}})
    results = read_validation_results(model, "nnU-Net", ["0", "1"])
    assert results.name == "nnU-Net"
    assert list(results.dice) == ["a.b", "c"]
    assert results.dice["a.b"] == pytest.approx({"outer": 1, "inner": 10 / 15})
    assert results.dice["c"] == pytest.approx({"outer": 10 / 15, "inner": 1})


def test_regions(write_model: Callable[..., Path]) -> None:
    model = write_model("nnUNetTrainer", {"0": {"a": (10, 5)}}, regions=True)
    assert read_validation_results(model, "", ["0"]).dice["a"] == pytest.approx({"outer": 30 / 35, "inner": 10 / 15})


def test_a_class_that_is_not_there_has_no_dice(write_model: Callable[..., Path]) -> None:
    model = write_model("nnUNetTrainer", {"0": {"a": (10, 0)}}, inner=0)
    assert math.isnan(read_validation_results(model, "", ["0"]).dice["a"]["inner"])


def test_a_case_of_several_folds_has_their_mean(write_model: Callable[..., Path]) -> None:
    model = write_model("nnUNetTrainer", {"0": {"a": (10, 10)}, "1": {"a": (5, 10)}})
    assert read_validation_results(model, "", ["0", "1"]).dice["a"]["outer"] == pytest.approx((1 + 10 / 15) / 2)


def test_folds_that_are_validated(write_model: Callable[..., Path]) -> None:
    model = write_model("nnUNetTrainer", {fold: {"a": (10, 10)} for fold in ("10", "2", "all")})
    (model / "fold_3").mkdir()
    assert validated_folds(model) == ["2", "10"]
    with pytest.raises(UserError, match=r"fold_3.* is not there: fold 3 of DyCON .* --val"):
        read_validation_results(model, "DyCON", ["3"])


def test_the_cases_of_a_summary_are_named_without_the_whole_ending(tmp_path: Path) -> None:
    entries = [{"prediction_file": f"/there/a.{case}.seg.nrrd", "metrics": {}} for case in (1, 2)]
    (tmp_path / "summary.json").write_text(json.dumps({"metric_per_case": entries}))
    assert validated_cases(tmp_path / "summary.json", ".seg.nrrd") == {"a.1", "a.2"}


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"metric_per_case": 3},
        {"metric_per_case": [{"metrics": {}}]},
        {"metric_per_case": [{"prediction_file": "a.nii.gz", "metrics": {"7": {}}}]},
        {"metric_per_case": [{"prediction_file": "a.nii.gz", "metrics": {"1": {"Dice": float("inf")}}}]},
    ],
)
def test_a_file_that_is_not_nnunets(content: dict, write_model: Callable[..., Path]) -> None:
    model = write_model("nnUNetTrainer", {"0": {"a": (10, 10)}})
    (model / "fold_0" / "validation" / "summary.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"summary\.json"):
        read_validation_results(model, "", ["0"])


@pytest.mark.parametrize("labels", [None, [1], {"background": 0, "outer": [[1]]}, {"background": 0, "outer": {}}])
def test_labels_that_are_none(labels: object, write_model: Callable[..., Path]) -> None:
    model = write_model("nnUNetTrainer", {"0": {"a": (10, 10)}})
    (model / "dataset.json").write_text(json.dumps({"labels": labels, "file_ending": ".nii.gz"}))
    with pytest.raises(UserError, match=r"dataset\.json: labels"):
        read_validation_results(model, "", ["0"])
