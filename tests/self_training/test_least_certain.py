from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.self_training.least_certain import least_certain, read_expected_dice
from nnunetv2_dycon.self_training.pseudo_labeled_dataset import RECORD, write_pseudo_labeled_dataset
from nnunetv2_dycon.self_training.report import report_predictions
from nnunetv2_dycon.uncertainty.table import TABLE
from tests.self_training.conftest import contents, write_expected_dice

if TYPE_CHECKING:
    from tests.self_training.conftest import Predicted


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.0, []), (0.24, []), (0.25, ["b"]), (0.5, ["a", "b"]), (0.75, ["a", "b", "d"]), (0.99, ["a", "b", "d"])],
)
def test_the_lowest_are_left_out_rounded_down(share: float, expected: list[str]) -> None:
    values = {"d": 0.7, "c": 0.9, "b": 0.2, "a": 0.7}
    assert least_certain(values, share) == {case: values[case] for case in expected}


def test_rounding_of_the_share_takes_none_away() -> None:
    assert len(least_certain({str(case): 0.5 for case in range(100)}, 0.29)) == 29


def test_a_case_has_the_mean_over_what_is_predicted_there(tmp_path: Path) -> None:
    write_expected_dice(tmp_path, {"a": ("0.5", "0.75"), "b": ("", "0.9"), "nothing": ("", ""), "other": ("x",)})
    assert read_expected_dice(tmp_path, ["a", "b", "nothing"]) == {"a": 0.625, "b": 0.9}


def test_what_the_table_must_have(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"uncertainty\.csv is not there, and --leave_out needs .* --table_only"):
        read_expected_dice(tmp_path, ["a"])
    write_expected_dice(tmp_path, {"a": ("0.5",)})
    with pytest.raises(UserError, match=r"has no row of b: .* --continue_prediction"):
        read_expected_dice(tmp_path, ["a", "b"])
    for wrong in ("much", "nan", "1.5"):
        write_expected_dice(tmp_path, {"a": (wrong,)})
        with pytest.raises(UserError, match=f"has the expected_dice '{wrong}'"):
            read_expected_dice(tmp_path, ["a"])
    (tmp_path / TABLE).write_text("case,dice\na,0.5\n")
    with pytest.raises(UserError, match="is not a table of nnunetv2_dycon uncertainty"):
        read_expected_dice(tmp_path, ["a"])


def test_the_least_certain_scan_does_not_get_into_the_dataset(
    predicted: Predicted, capsys: pytest.CaptureFixture[str]
) -> None:
    write_expected_dice(predicted.predictions, {"demo_005": ("0.5", "0.6"), "demo_006": ("0.4", "0.9")})
    arguments = (predicted.raw, predicted.predictions, predicted.target)
    dataset = write_pseudo_labeled_dataset(*arguments, leave_out=0.5)
    assert dataset.pseudo_labeled == ["demo_006"]
    assert dataset.left_out == {"demo_005": pytest.approx(0.55)}
    made = contents(predicted.target)
    assert json.loads(made["dataset.json"])["numTraining"] == 6
    record = json.loads(made[RECORD])
    assert (record["pseudo_labeled"], record["left_out"]) == (["demo_006"], dataset.left_out)
    assert not [name for name in made if "demo_005" in name]
    assert {"labelsTr/demo_006.nii.gz", "imagesTr/demo_006_0000.nii.gz", "imagesTr/demo_006_0001.nii.gz"} <= set(made)
    report_predictions(dataset)
    assert (
        "1 of 2 predicted scans is left out, those that the model expects to be worst, with an expected Dice from "
        "0.550 to 0.550: demo_005. To take all, start again with --leave_out 0 "
    ) in capsys.readouterr().out
    assert write_pseudo_labeled_dataset(*arguments, leave_out=0.5) == dataset
    with pytest.raises(UserError, match=r"was made with --leave_out 0\.5: do the same"):
        write_pseudo_labeled_dataset(*arguments)
    with pytest.raises(UserError, match=r"without --all_components and with --leave_out 0\.5: do the same"):
        write_pseudo_labeled_dataset(*arguments, all_components=True)


def test_a_dataset_of_an_earlier_release_has_all_predictions(predicted: Predicted) -> None:
    arguments = (predicted.raw, predicted.predictions, predicted.target)
    dataset = write_pseudo_labeled_dataset(*arguments)
    file = predicted.target / RECORD
    record = json.loads(file.read_text())
    file.write_text(json.dumps({key: value for key, value in record.items() if key not in ("leave_out", "left_out")}))
    assert write_pseudo_labeled_dataset(*arguments) == dataset
    write_expected_dice(predicted.predictions, {"demo_005": ("0.5",), "demo_006": ("0.4",)})
    with pytest.raises(UserError, match=r"was made with --leave_out 0\.0: do the same"):
        write_pseudo_labeled_dataset(*arguments, leave_out=0.5)


def test_with_a_share_below_one_scan_none_is_left_out(predicted: Predicted, capsys: pytest.CaptureFixture[str]) -> None:
    write_expected_dice(predicted.predictions, {"demo_005": ("0.5",), "demo_006": ("",)})
    dataset = write_pseudo_labeled_dataset(predicted.raw, predicted.predictions, predicted.target, leave_out=0.5)
    assert dataset.pseudo_labeled == ["demo_005", "demo_006"]
    report_predictions(dataset)
    assert "No predicted scan is left out: --leave_out 0.5 of those with a structure" in capsys.readouterr().out


def test_a_dataset_does_not_depend_on_what_is_not_in_it(predicted: Predicted) -> None:
    write_expected_dice(predicted.predictions, {"demo_005": ("0.5",), "demo_006": ("0.9",)})
    arguments = (predicted.raw, predicted.predictions, predicted.target)
    dataset = write_pseudo_labeled_dataset(*arguments, leave_out=0.5)
    # Predicted again on a GPU, with other digits.
    write_expected_dice(predicted.predictions, {"demo_005": ("0.500001",), "demo_006": ("0.9",)})
    (predicted.predictions / "demo_005.nii.gz").write_bytes(b"another one")
    assert write_pseudo_labeled_dataset(*arguments, leave_out=0.5) == dataset


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_that_is_none(predicted: Predicted, share: float) -> None:
    with pytest.raises(UserError, match="--leave_out must be at least 0 and below 1, not"):
        write_pseudo_labeled_dataset(predicted.raw, predicted.predictions, predicted.target, leave_out=share)
    assert not predicted.target.exists()
