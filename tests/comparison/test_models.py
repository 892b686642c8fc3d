"""Models of several datasets, and folds that pseudo-labels give away."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nnunetv2_dycon.comparison.compare import Comparison, compare_models
from nnunetv2_dycon.comparison.models import find_models
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.self_training.record import PseudoLabels

SOURCE, PSEUDO_LABELED = "Dataset501_X", "Dataset502_X_self_training"
FIRST, SECOND = "nnUNetTrainerDyCON__nnUNetPlans__3d_fullres", "nnUNetTrainer__nnUNetPlans__3d_fullres"
GOOD, BAD = (10, 10), (5, 5)
CASES = {fold: {f"case_{fold}_{index}": GOOD for index in range(10)} for fold in ("0", "1")}
WORSE = {fold: dict.fromkeys(cases, BAD) for fold, cases in CASES.items()}


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def compare_self_training(folders: Path, write_model: Callable[..., Path]) -> Callable[..., Comparison]:
    """Two folds of both models compared, the second one of a dataset with these pseudo-labels."""

    def compare(pseudo_labels: PseudoLabels, *asked: str) -> Comparison:
        write_model(FIRST, WORSE, root=folders / "results" / SOURCE)
        second = write_model(SECOND, CASES, root=folders / "results" / PSEUDO_LABELED)
        dataset_json = json.loads((second / "dataset.json").read_text()) | pseudo_labels.as_entry()
        (second / "dataset.json").write_text(json.dumps(dataset_json))
        models = find_models(["nnUNetTrainerDyCON", "502/nnUNetTrainer"], SOURCE, "3d_fullres", "nnUNetPlans")
        return compare_models(SOURCE, models, asked)

    return compare


def test_a_slash_follows_the_dataset(folders: Path) -> None:
    results = folders / "results"
    (results / PSEUDO_LABELED).mkdir()
    names = ["nnUNetTrainer", f"{PSEUDO_LABELED}/{SECOND}/", "502/nnUNetTrainer", "A__B__C"]
    assert find_models(names, SOURCE, "2d", "P") == {
        "nnUNetTrainer": results / SOURCE / "nnUNetTrainer__P__2d",
        f"{PSEUDO_LABELED}/{SECOND}": results / PSEUDO_LABELED / SECOND,
        "502/nnUNetTrainer": results / PSEUDO_LABELED / "nnUNetTrainer__P__2d",
        "A__B__C": results / SOURCE / "A__B__C",
    }


@pytest.mark.usefixtures("folders")
@pytest.mark.parametrize("name", ["502/", "502", "Dataset502_X/", "502/nnUNetTrainer/fold_0", "/nnUNetTrainer", ""])
def test_names_of_another_form_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="give a trainer, TRAINER__PLANS__CONFIGURATION, or one of both after"):
        find_models([name], SOURCE, "2d", "P")


def test_one_model_under_two_names_is_refused(folders: Path) -> None:
    (folders / "results" / SOURCE).mkdir()
    with pytest.raises(UserError, match="nnUNetTrainer and 501/nnUNetTrainer/ are one model"):
        find_models(["nnUNetTrainer", "501/nnUNetTrainer/"], SOURCE, "2d", "P")


@pytest.mark.usefixtures("folders")
def test_a_dataset_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match="no dataset with the ID 502"):
        find_models(["502/nnUNetTrainer"], SOURCE, "2d", "P")


def test_only_the_fold_that_predicted_counts(compare_self_training: Callable[..., Comparison]) -> None:
    comparison = compare_self_training(PseudoLabels(["1"], []))
    assert comparison.title == f"{SOURCE}, fold 1"
    assert comparison.warnings == [
        "Fold 0 of 502/nnUNetTrainer is left out: its pseudo-labels are of fold 1, whose model has learnt from the "
        "validation cases of other folds.",
        "Fold 0 of nnUNetTrainerDyCON is left out: not every trainer has it.",
    ]
    assert comparison.differences[0][-1].difference == pytest.approx(1 / 3)
    assert comparison.differences[0][-1].won == 10


def test_another_fold_is_refused_if_it_is_asked_for(compare_self_training: Callable[..., Comparison]) -> None:
    with pytest.raises(UserError, match="Fold 0 of 502/nnUNetTrainer cannot be compared: its pseudo-labels are of"):
        compare_self_training(PseudoLabels(["1"], []), "0", "1")


def test_where_no_fold_counts_it_says_why(compare_self_training: Callable[..., Comparison]) -> None:
    with pytest.raises(UserError, match=r"502/nnUNetTrainer: none\). Fold 0, 1 of 502/nnUNetTrainer is left out: its"):
        compare_self_training(PseudoLabels(["2"], []))


@pytest.mark.parametrize("folds", [["all"], ["0", "1"], ["0", "all"]])
def test_after_models_that_saw_all_none_counts(
    folds: list[str], compare_self_training: Callable[..., Comparison]
) -> None:
    with pytest.raises(UserError, match=f"of fold {', '.join(folds)}, whose models have seen every validation case"):
        compare_self_training(PseudoLabels(folds, []), "0")


def test_predictions_from_elsewhere_are_warned_of(compare_self_training: Callable[..., Comparison]) -> None:
    comparison = compare_self_training(PseudoLabels(None, []))
    assert comparison.title == f"{SOURCE}, folds 0, 1"
    (warning,) = comparison.warnings
    assert warning.startswith("It is not known which fold predicted the pseudo-labels of 502/nnUNetTrainer.")


def test_validation_on_pseudo_labels_is_refused(compare_self_training: Callable[..., Comparison]) -> None:
    with pytest.raises(UserError, match=r"was validated on pseudo-labels \(case_0_3\): restore the splits_final"):
        compare_self_training(PseudoLabels(["0"], ["case_0_3", "other"]))
