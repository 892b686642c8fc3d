"""Which folds and cases are compared, and what is warned of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nnunetv2_dycon.comparison.compare import compare_models
from nnunetv2_dycon.exceptions import UserError

GOOD, BAD = (10, 10), (5, 5)


def test_folds_that_all_have(write_model: Callable[..., Path]) -> None:
    first = write_model("A", {"0": {"a": BAD}, "1": {"b": BAD}})
    second = write_model("B", {"1": {"b": GOOD}, "2": {"c": GOOD}})
    comparison = compare_models("Dataset501_X", {"A": first, "B": second}, [])
    assert comparison.title == "Dataset501_X, fold 1"
    assert [list(result.dice) for result in comparison.results] == [["b"], ["b"]]
    assert comparison.warnings == [
        "Fold 0 of A is left out: not every trainer has it.",
        "Fold 2 of B is left out: not every trainer has it.",
        "1 case is too few to tell B from A; 10 are needed. Train further folds, or evaluate both on labeled test "
        "scans with nnUNetv2_evaluate_folder.",
    ]


def test_cases_that_differ(write_model: Callable[..., Path]) -> None:
    cases = {f"case_{index:02d}": GOOD for index in range(10)}
    first = write_model("A", {"0": cases})
    second = write_model("B", {"0": {**cases, **{f"other_{index}": BAD for index in range(7)}}})
    (warning,) = compare_models("", {"A": first, "B": second}, ["0"]).warnings
    assert warning.startswith("7 cases are in the validation of B only and are not compared with A: other_0, other_1")
    assert "other_4 ..." in warning
    assert "other_5" not in warning


def test_each_is_compared_with_the_first(write_model: Callable[..., Path]) -> None:
    folders = {
        name: write_model(name, {"0": {"a": voxels}}) for name, voxels in zip("ABC", (BAD, GOOD, BAD), strict=True)
    }
    differences = compare_models("", folders, []).differences
    assert [of_model[-1].difference for of_model in differences] == pytest.approx([1 / 3, 0])


def test_what_cannot_be_compared(write_model: Callable[..., Path], tmp_path: Path) -> None:
    first, second = write_model("A", {"0": {"a": GOOD}}), write_model("B", {"1": {"b": GOOD}})
    third = write_model("C", {"0": {"c": GOOD}})
    for folders, folds, message in (
        ({"A": first}, [], "name two or more with -tr"),
        ({"A": first, "B": second}, [], r"No fold .* \(A: 0; B: 1\)"),
        ({"A": first, "B": second}, ["0"], "fold 0 of B has no validation results"),
        ({"A": first, "B": second}, ["all"], "its own training cases"),
        ({"A": first, "B": second}, ["fold_0"], "There is no fold fold_0"),
        ({"A": first, "X": tmp_path / "X"}, [], r"X is not there: train X first"),
        ({"A": first, "C": third}, [], "A and C have no validation case in common"),
    ):
        with pytest.raises(UserError, match=message):
            compare_models("", folders, folds)


def test_labels_of_other_names(write_model: Callable[..., Path]) -> None:
    first, second = (write_model(name, {"0": {"a": GOOD}}) for name in "AB")
    (second / "dataset.json").write_text(
        '{"labels": {"background": 0, "liver": 1, "tumour": 2}, "file_ending": ".nii.gz"}'
    )
    with pytest.raises(UserError, match="A and B have no class in common"):
        compare_models("", {"A": first, "B": second}, [])


def test_a_class_of_one_model_is_warned_of(write_model: Callable[..., Path]) -> None:
    first, second = (write_model(name, {"0": {f"case_{index}": GOOD for index in range(10)}}) for name in "AB")
    (second / "dataset.json").write_text(
        '{"labels": {"background": 0, "outer": 1, "tumour": 2}, "file_ending": ".nii.gz"}'
    )
    (warning,) = compare_models("", {"A": first, "B": second}, []).warnings
    assert warning == "inner, tumour: not a class of both A and B, and not in the mean."


def test_other_reference_labels_are_refused(write_model: Callable[..., Path]) -> None:
    first = write_model("A", {"0": {"a": GOOD, "b": GOOD}})
    second = write_model("B", {"0": {"b": GOOD, "c": GOOD}}, inner=9)
    with pytest.raises(UserError, match="A and B were validated with different labels of b, so"):
        compare_models("", {"A": first, "B": second}, [])


def test_a_fold_counts_once_however_it_is_written(write_model: Callable[..., Path]) -> None:
    folders = {name: write_model(name, {"0": {"a": GOOD}}) for name in "AB"}
    assert compare_models("X", folders, ["00", "0"]).title == "X, fold 0"
