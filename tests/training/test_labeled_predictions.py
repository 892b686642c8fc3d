"""A next stage of a cascade sees no predictions by models that have learnt what its fold holds back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.nnunet_command import device_option
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON
from nnunetv2_dycon.training.checkpoints import TRAINING_CASES_KEY
from tests.cascade import CASCADE, LOW_RESOLUTION, PLANS, note_training_cases

if TYPE_CHECKING:
    from tests.conftest import Workspace

TRAIN, VAL = ["demo_000", "demo_001"], ["demo_004"]
OPTIONS = f"-tr nnUNetTrainerDyCON -p {PLANS}{device_option()}"
COMMANDS = [f"nnUNetv2_train 501 {LOW_RESOLUTION} {fold} {OPTIONS}" for fold in (0, 1)]


@pytest.fixture
def model(workspace: Workspace, trained_low_resolution: Path) -> Path:
    """The folder of a first stage with folds 0 and 1 of two folds; what they have learnt from is not noted."""
    shutil.copytree(trained_low_resolution, workspace.root, dirs_exist_ok=True)
    folder = workspace.results / f"nnUNetTrainerDyCON__{PLANS}__{LOW_RESOLUTION}"
    shutil.copytree(folder / "fold_0", folder / "fold_1")
    workspace.write_splits({"train": TRAIN, "val": VAL}, {"train": VAL, "val": TRAIN})
    return folder


@pytest.fixture
def check(make_trainer: Callable[..., nnUNetTrainer]) -> Callable[[], None]:
    """Starts a training of the next stage, fold 0."""
    return lambda: make_trainer(nnUNetTrainerDyCON, PLANS, CASCADE).on_train_start()


@pytest.fixture
def validate(model: Path, make_trainer: Callable[..., nnUNetTrainer]) -> Callable[..., None]:
    """Validates a fold of the first stage."""

    def validate_fold(fold: int | str) -> None:
        trainer = make_trainer(nnUNetTrainerDyCON, PLANS, LOW_RESOLUTION, fold=fold)
        trainer.load_checkpoint(str(model / f"fold_{fold}" / "checkpoint_final.pth"))
        trainer.perform_actual_validation()

    return validate_fold


def _refused(check: Callable[[], None], match: str) -> str:
    with pytest.raises(UserError, match=match) as error:
        check()
    return str(error.value)


def _note(model: Path, case: str) -> Path:
    return model / "predicted_next_stage" / CASCADE / f"{case}.json"


@pytest.mark.parametrize(
    ("held_back", "fold"),
    [
        ({"val": ["demo_003", *VAL], "unlabeled": []}, 0),
        ({"val": VAL, "unlabeled": ["demo_003"]}, 0),
        ({"val": VAL, "unlabeled": ["demo_003"]}, 1),
    ],
)
def test_labels_held_back_do_not_come_in_through_a_model_of_earlier_folds(
    model: Path, workspace: Workspace, check: Callable[[], None], held_back: dict[str, list[str]], fold: int
) -> None:
    workspace.write_splits({"train": TRAIN, **held_back}, {"train": VAL, "val": TRAIN})
    check()
    note_training_cases(model / f"fold_{fold}", ["demo_003"])
    text = _refused(check, "demo_003")
    assert text.endswith(f"anew: {COMMANDS[fold]}")
    assert "Put back the folds" in text


def test_the_first_stage_has_learnt_from_validation_cases_of_other_folds(
    model: Path, validate: Callable[..., None], check: Callable[[], None]
) -> None:
    note_training_cases(model / "fold_0", TRAIN)
    note_training_cases(model / "fold_1", VAL)
    for fold in (0, 1):
        validate(fold)
    assert json.loads(_note(model, "demo_000").read_text()) == {TRAINING_CASES_KEY: VAL}
    check()


def test_predictions_of_fold_all_are_not_those_of_a_fold(
    model: Path, make_trainer: Callable[..., nnUNetTrainer], validate: Callable[..., None], check: Callable[[], None]
) -> None:
    validate("all")
    make_trainer(nnUNetTrainerDyCON, PLANS, CASCADE, fold="all").on_train_start()
    text = _refused(check, r"has predictions of demo_000, demo_001, demo_004 by models that have learnt")
    assert "the labels of demo_000, demo_001, demo_004, which they must not know for fold 0" in text
    assert text.endswith(f"predict anew: {COMMANDS[0]} --val; {COMMANDS[1]} --val")
    trainer = make_trainer(nnUNetTrainerDyCON, PLANS, CASCADE)
    with pytest.raises(UserError, match="has predictions of demo_004 by models"):
        trainer.perform_actual_validation()
    validate(0)
    # Of this model it is not known what it has learnt from.
    assert not _note(model, "demo_004").exists()
    assert _refused(check, "has predictions of demo_000, demo_001 by models").endswith(f"anew: {COMMANDS[1]} --val")
    validate(1)
    check()


@pytest.mark.parametrize("folds", [1, 2])
@pytest.mark.parametrize("is_there", [True, False])
def test_a_prediction_is_that_of_the_model_that_made_it(
    model: Path, workspace: Workspace, check: Callable[[], None], folds: int, is_there: bool
) -> None:
    note_training_cases(model / "fold_1", VAL)
    if not is_there:
        shutil.rmtree(model / "fold_1")
    fold = {"train": TRAIN, "val": VAL, "unlabeled": ["demo_003"]}
    workspace.write_splits(*[fold, {"train": VAL, "val": TRAIN}][:folds])
    check()
    _note(model, "demo_001").write_text(json.dumps({TRAINING_CASES_KEY: ["demo_003", "demo_004"]}))
    text = _refused(check, r"has predictions of demo_001 by models that have learnt from the labels of demo_003, which")
    if folds == 2:
        assert text.endswith(f"anew: {COMMANDS[1]}{' --val' if is_there else ''}")


def test_a_validation_that_is_killed_leaves_no_prediction_of_another_model(
    validate: Callable[..., None], check: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(nnUNetTrainer, "perform_actual_validation", stop)
    with pytest.raises(KeyboardInterrupt):
        validate(1)
    assert _refused(check, r"2 are not in .* \(demo_000, demo_001\)").endswith(f"Run first: {COMMANDS[1]} --val")
