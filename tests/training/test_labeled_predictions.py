"""A next stage of a cascade sees no predictions by models that have learnt what its fold holds back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as nnunet_trainer_module
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
    # Of fold 1 it is the predictions that are refused, of which several models can be the cause.
    assert ("Put back the folds", "put back those that the models were trained with")[fold] in text


def test_the_first_stage_has_learnt_from_validation_cases_of_other_folds(
    model: Path, validate: Callable[..., None], check: Callable[[], None]
) -> None:
    note_training_cases(model / "fold_0", TRAIN)
    note_training_cases(model / "fold_1", VAL)
    for fold in (0, 1):
        validate(fold)
    assert json.loads(_note(model, "demo_000").read_text()) == {TRAINING_CASES_KEY: VAL}
    check()


@pytest.mark.parametrize("learnt_is_noted", [True, False])
def test_predictions_of_fold_all_are_not_those_of_a_fold(
    learnt_is_noted: bool,
    model: Path,
    make_trainer: Callable[..., nnUNetTrainer],
    validate: Callable[..., None],
    check: Callable[[], None],
) -> None:
    if learnt_is_noted:
        note_training_cases(model / "fold_0", TRAIN)
        note_training_cases(model / "fold_1", VAL)
    validate("all")
    make_trainer(nnUNetTrainerDyCON, PLANS, CASCADE, fold="all").on_train_start()
    text = _refused(check, r"has predictions of demo_000, demo_001, demo_004 by models that have learnt")
    assert "the labels of demo_000, demo_001, demo_004, which they must not know for fold 0" in text
    assert text.endswith(f"Predict anew: {COMMANDS[1]} --val; {COMMANDS[0]} --val")
    trainer = make_trainer(nnUNetTrainerDyCON, PLANS, CASCADE)
    with pytest.raises(UserError, match="has predictions of demo_004 by models"):
        trainer.perform_actual_validation()
    validate(0)
    assert _note(model, "demo_004").exists() is learnt_is_noted
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


def test_a_validation_that_is_killed_leaves_notes_of_both_models(
    model: Path, validate: Callable[..., None], check: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    note_training_cases(model / "fold_0", TRAIN)
    note_training_cases(model / "fold_1", VAL)
    for fold in (0, 1):
        validate(fold)
    check()
    predictions = {file: file.read_bytes() for file in _note(model, "demo_000").parent.glob("*.b2nd")}
    with monkeypatch.context() as patch:
        # After all cases are predicted.
        patch.setattr(nnunet_trainer_module, "compute_metrics_on_folder", stop)
        with pytest.raises(KeyboardInterrupt):
            validate("all")
    # The next stage that is trained meanwhile finds one or the other.
    assert {file for file in predictions if file.is_file()} == set(predictions)
    assert TRAINING_CASES_KEY in _note(model, "demo_000").read_text()
    assert _refused(check, "has predictions of demo_000, demo_001, demo_004 by models").endswith(f"{COMMANDS[0]} --val")
    with monkeypatch.context() as patch:
        # Before any is.
        patch.setattr(nnUNetTrainer, "perform_actual_validation", stop)
        with pytest.raises(KeyboardInterrupt):
            validate(0)
    _refused(check, "has predictions of demo_000, demo_001, demo_004 by models")
    for fold in (1, 0):
        validate(fold)
    check()


def test_a_case_that_is_passed_over_keeps_the_note_of_both_models(
    model: Path, validate: Callable[..., None], check: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    note_training_cases(model / "fold_1", VAL)
    _note(model, "demo_001").write_text(json.dumps({TRAINING_CASES_KEY: ["demo_001"]}))
    monkeypatch.setattr(nnUNetTrainer, "perform_actual_validation", lambda *_: None)
    validate(1)
    assert _refused(check, "has predictions of demo_001 by models").endswith(f"{COMMANDS[1]} --val")


def test_a_note_that_cannot_be_written_is_no_traceback(model: Path, validate: Callable[..., None]) -> None:
    folder = model / "predicted_next_stage"
    shutil.rmtree(folder)
    folder.write_text("")
    note_training_cases(model / "fold_1", VAL)
    with pytest.raises(UserError, match=r"predicted_next_stage/3d_cascade_fullres cannot be written to"):
        validate(1)


@pytest.mark.parametrize("text", ["", "{}", '{"training_cases": null}'])
def test_a_damaged_note_is_written_anew_by_a_command(
    model: Path, validate: Callable[..., None], check: Callable[[], None], text: str
) -> None:
    _note(model, "demo_001").write_text(text)
    error = _refused(check, r"Damaged notes no longer say .* had learnt from: .*demo_001\.json")
    assert error.endswith(f"Predict anew: {COMMANDS[1]} --val")
    note_training_cases(model / "fold_1", VAL)
    validate(1)
    check()


def test_folds_that_share_validation_cases_predict_in_the_order_of_the_message(
    model: Path, workspace: Workspace, check: Callable[[], None]
) -> None:
    first, second = ["demo_000", "demo_001", "demo_002"], ["demo_003", "demo_004"]
    cases = [*first, *second]
    splits = [
        {"train": [case for case in cases if case not in val], "val": val}
        for val in (first, second, ["demo_000", "demo_003", "demo_004"], ["demo_001", "demo_002"])
    ]
    workspace.write_splits(*splits)
    for fold in (2, 3):
        shutil.copytree(model / "fold_0", model / f"fold_{fold}")
    for fold, split in enumerate(splits):
        note_training_cases(model / f"fold_{fold}", split["train"])

    def predict(fold: int) -> None:
        for case in splits[fold]["val"]:
            _note(model, case).write_text(json.dumps({TRAINING_CASES_KEY: splits[fold]["train"]}))
            (model / "predicted_next_stage" / CASCADE / f"{case}.b2nd").touch()

    for fold in (0, 1, 2, 3):
        predict(fold)
    _refused(check, "has predictions of demo_000, demo_001, demo_002 by models")
    for case in cases:
        _note(model, case).write_text(json.dumps({TRAINING_CASES_KEY: cases}))
    text = _refused(check, "has predictions of demo_000, demo_001, demo_002, demo_003, demo_004 by models")
    folds = [int(command.split()[3]) for command in text.partition("anew: ")[2].split("; ")]
    assert folds == [2, 0]
    for fold in folds:
        predict(fold)
    check()
    for case in cases:
        (model / "predicted_next_stage" / CASCADE / f"{case}.b2nd").unlink()
    text = _refused(check, "5 are not in")
    assert [int(command.split()[3]) for command in text.partition("first: ")[2].split("; ")] == [2, 0]


def test_a_fold_that_is_drawn_predicts_its_own_validation_cases(
    model: Path, workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]
) -> None:
    first, second = ["demo_000", "demo_001", "demo_002"], ["demo_003", "demo_004"]
    workspace.write_splits({"train": second, "val": first}, {"train": first, "val": second})
    shutil.copytree(model / "fold_0", model / "fold_2")
    trainer = make_trainer(nnUNetTrainerDyCON, PLANS, CASCADE, fold=2)
    validated = trainer.do_split()[1]
    for case in (*first, *second):
        (model / "predicted_next_stage" / CASCADE / f"{case}.b2nd").touch()
    for case in validated:
        (model / "predicted_next_stage" / CASCADE / f"{case}.b2nd").unlink()
    text = _refused(trainer.on_train_start, f"{len(validated)} are not in")
    assert text.endswith(f"Run first: {COMMANDS[0].replace(' 0 ', ' 2 ')} --val")


def test_fold_all_is_no_way_out_where_labels_are_off_limits(
    model: Path, workspace: Workspace, check: Callable[[], None]
) -> None:
    for case in TRAIN:
        (model / "predicted_next_stage" / CASCADE / f"{case}.b2nd").unlink()
    split = {"train": TRAIN, "val": VAL}
    workspace.write_splits(split)
    assert _refused(check, "2 are not in").endswith("by one, or train fold all in both stages.")
    workspace.write_splits({**split, "unlabeled": ["demo_003"]})
    assert _refused(check, "2 are not in").endswith("add folds until each labeled case is validated by one.")


def test_a_training_that_has_not_ended_goes_on_unless_it_has_learnt_too_much(
    model: Path, check: Callable[[], None]
) -> None:
    _note(model, "demo_001").write_text(json.dumps({TRAINING_CASES_KEY: ["demo_001"]}))
    for learnt, option in (VAL, " --c"), ([*VAL, "demo_001"], ""):
        note_training_cases(model / "fold_1", learnt)
        file = model / "fold_1" / "checkpoint_final.pth"
        file.rename(file.with_name("checkpoint_latest.pth"))
        command = _refused(check, "has predictions of demo_001 by models").partition("anew: ")[2]
        assert command == COMMANDS[1].replace(
            OPTIONS, f"{OPTIONS.replace(device_option(), '')}{option}{device_option()}"
        )
        file.with_name("checkpoint_latest.pth").rename(file)


def test_a_fold_that_validates_on_its_training_cases_may_see_predictions_that_know_them(
    model: Path, workspace: Workspace, check: Callable[[], None]
) -> None:
    cases = [f"demo_{i:03d}" for i in range(5)]
    workspace.write_splits(
        {"train": cases, "val": cases[3:]},
        {"train": cases[:3], "val": cases[3:]},
        {"train": cases[3:], "val": cases[:3]},
    )
    note_training_cases(model / "fold_0", cases)
    for case in cases:
        (model / "predicted_next_stage" / CASCADE / f"{case}.b2nd").touch()
    for case in cases[3:]:
        _note(model, case).write_text(json.dumps({TRAINING_CASES_KEY: cases}))
    check()
    _note(model, cases[0]).write_text(json.dumps({TRAINING_CASES_KEY: cases}))
    _refused(check, "has predictions of demo_000 by models")
