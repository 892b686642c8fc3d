"""What the first stage of a cascade predicts of labeled cases, and whose labels the models had learnt from.

nnU-Net stores these predictions for the next stage when a model is validated, over those of any other model. So a note
beside each prediction tells which labels its model had learnt from: the checkpoints may be others by now.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.datasets.splits import (
    off_limits_cases,
    off_limits_cases_of_all_folds,
    read_splits,
    validation_only,
)
from nnunetv2_dycon.exceptions import UserError, listed
from nnunetv2_dycon.files import explained_write_errors, written_aside
from nnunetv2_dycon.json_files import TEXT, list_of, read_json_file, record
from nnunetv2_dycon.training import distributed
from nnunetv2_dycon.training.checkpoints import FINAL_CHECKPOINT, TRAINING_CASES_KEY, checkpoints_in
from nnunetv2_dycon.training.inputs import splits_file_of
from nnunetv2_dycon.training.previous_stage import PreviousStage, labeled_predictions_folder, previous_stage_of

_NOTE = record({TRAINING_CASES_KEY: list_of(TEXT, "a list of cases")})


@contextmanager
def noted_predictions(trainer: nnUNetTrainer) -> Iterator[None]:
    """In this block, nnU-Net validates a model and stores its predictions for next stages; after it, these have notes.

    nnU-Net replaces the predictions one after another, and a next stage may be reading them. Until the block ends, a
    note names what either model has learnt from, this one or that of the prediction before: so it holds for whichever
    of the two a killed validation leaves.

    Args:
        trainer: a semi-supervised one. Where it is not known from which labels it has learnt, its predictions get no
            notes.

    Raises:
        UserError: where a note cannot be written.
    """
    learnt, cases = trainer.training_cases, trainer.do_split()[1]
    folders = [
        labeled_predictions_folder(Path(trainer.output_folder_base), stage)
        for stage in trainer.configuration_manager.next_stage_names or ()
    ]
    files = [(folder, case) for folder in folders for case in cases]
    before = {place: _versions(*place) for place in files}

    def name_both_models() -> None:
        for place in files:
            if learnt is not None:
                _write_note(_note(*place), learnt | (_read_note(_note(*place)) or frozenset()))

    def name_this_model() -> None:
        for place in files:
            # nnU-Net passes over a case that is not preprocessed for the next stage.
            if _versions(*place) != before[place]:
                _write_note(_note(*place), learnt)

    if files:
        distributed.on_first_process(name_both_models)
    yield
    if files:
        distributed.on_first_process(name_this_model)


def refuse_missing_predictions(trainer: nnUNetTrainer, labeled: Iterable[str]) -> None:
    """Refuse to go on without the previous stage's predictions of these labeled cases, where there is such a stage.

    Raises:
        UserError: naming the commands to run.
    """
    stage = previous_stage_of(trainer)
    if stage is None:
        return
    folder, splits_file = stage.labeled_predictions, splits_file_of(trainer)
    missing = [case for case in sorted(labeled) if not any(file.is_file() for file in _predictions(folder, case))]
    if not missing:
        return
    problem = (
        f"{stage.next_stage} needs {stage.configuration_name}'s predictions of the labeled cases, and {len(missing)} "
        f"are not in {folder} ({listed(missing)})."
    )
    fold_of = _validating_folds(trainer)
    folds: list[int | str] = [*_own_fold_last(stage, fold_of, missing)]
    if stage.fold == "all":
        folds = ["all"]
    elif lonely := [case for case in missing if case not in fold_of]:
        # Fold all would learn from labels that are off limits, and is refused.
        or_all = "" if off_limits_cases_of_all_folds(splits_file) else ", or train fold all in both stages"
        raise UserError(
            f"{problem} A model predicts the validation cases of its fold, and no fold of {splits_file} validates "
            f"{lonely[0]}: add folds until each labeled case is validated by one{or_all}."
        )
    lines = [stage.training_command(fold) + (" --val" if _is_trained(stage, fold) else "") for fold in folds]
    raise UserError(f"{problem} Run first: {'; '.join(lines)}")


def refuse_learnt_predictions(trainer: nnUNetTrainer, labeled: Iterable[str]) -> None:
    """Refuse predictions of a previous stage that has learnt from labels which the trainer's fold holds back.

    Two kinds of models count: the fold's own, which predicts all unlabeled cases, and those that predicted the labeled
    ones. As in nnU-Net, training cases are predicted by models of other folds, which have learnt from this fold's
    validation cases.

    Args:
        trainer: of the next stage; others are let pass.
        labeled: the labeled cases whose predictions are to be used.

    Raises:
        UserError: naming these labels and the commands to run, also for a damaged note.
    """
    stage = previous_stage_of(trainer)
    if stage is None or trainer.fold == "all":
        return
    splits_file = splits_file_of(trainer)
    train, val = trainer.do_split()
    off_limits, validation = set(off_limits_cases(splits_file, trainer.fold)), validation_only(train, val)
    # A checkpoint can be large: each is read once.
    learnt_by = cache(stage.learnt_by)
    stage.refuse_learnt_labels(learnt_by(stage.checkpoint), off_limits | validation, splits_file)
    fold_of = _validating_folds(trainer)
    validated = {case for split in read_splits(splits_file) for case in validation_only(split["train"], split["val"])}
    # Whoever validates on training cases too has them predicted by a model that knows their labels.
    validated -= set(train) & set(val)
    forbidden = {case: off_limits | (validation if case in validation else {case} & validated) for case in labeled}
    # Of a release that wrote no notes, most likely the fold's model is still the one.
    without_notes = fold_of if off_limits else {}
    learnt_before = {case: _learnt_before(stage, case, without_notes.get(case), learnt_by) for case in sorted(labeled)}
    damaged = [case for case, learnt in learnt_before.items() if learnt is None]
    wrong = [case for case, learnt in learnt_before.items() if learnt is None or learnt & forbidden[case]]
    if not wrong:
        return
    commands = []
    for fold, cases in _own_fold_last(stage, fold_of, wrong).items():
        held_back = {label for case in cases for label in forbidden[case]}
        commands.append(_command_that_predicts(stage, fold, held_back, learnt_by))
    again = f"Predict anew: {'; '.join(commands)}" if commands else "Remove these, and train folds that validate them"
    if damaged:
        notes = listed(str(_note(stage.labeled_predictions, case)) for case in damaged)
        raise UserError(f"Damaged notes no longer say which labels a model had learnt from: {notes}. {again}")
    labels = sorted({label for case in wrong for label in (learnt_before[case] or frozenset()) & forbidden[case]})
    raise UserError(
        f"{stage.labeled_predictions} has predictions of {listed(wrong)} by models that have learnt from the labels of "
        f"{listed(labels)}, which they must not know for fold {trainer.fold}. If the folds have changed, you can put "
        f"back those that the models were trained with. {again}"
    )


def _learnt_before(
    stage: PreviousStage, case: str, fold: int | None, learnt_by: Callable[[Path], frozenset[str]]
) -> frozenset[str] | None:
    """The cases from whose labels the model that predicted a case had learnt: by its note, or else those of a fold's.

    None where the note is damaged.
    """
    note = _note(stage.labeled_predictions, case)
    if note.is_file():
        return _read_note(note)
    return frozenset() if fold is None else learnt_by(stage.fold_folder(fold) / FINAL_CHECKPOINT)


def _command_that_predicts(
    stage: PreviousStage, fold: int, held_back: set[str], learnt_by: Callable[[Path], frozenset[str]]
) -> str:
    """The command line with which a fold's model predicts its validation cases anew, trained anew if it must be."""
    checkpoints = checkpoints_in(stage.fold_folder(fold))
    if checkpoints and learnt_by(checkpoints[0]) & held_back:
        return stage.training_command(fold, anew=True)
    return stage.training_command(fold) + (" --val" if _is_trained(stage, fold) else "")


def _validating_folds(trainer: nnUNetTrainer) -> dict[str, int]:
    """A fold that validates a case, for each; the trainer's own, or one that does not train on it, where there is one.

    Also of a fold that nnU-Net draws.
    """
    splits = read_splits(splits_file_of(trainer))
    fold_of = {case: fold for fold, split in enumerate(splits) for case in split["val"]}
    for fold, split in enumerate(splits):
        fold_of |= dict.fromkeys(validation_only(split["train"], split["val"]), fold)
    return fold_of | ({} if trainer.fold == "all" else dict.fromkeys(trainer.do_split()[1], trainer.fold))


def _own_fold_last(stage: PreviousStage, fold_of: dict[str, int], cases: Iterable[str]) -> dict[int, list[str]]:
    """Folds that validate these cases, and which, in the order in which they are to predict.

    Where folds share validation cases, the prediction that stays is the last.
    """
    by_fold: dict[int, list[str]] = {}
    for case in cases:
        if case in fold_of:
            by_fold.setdefault(fold_of[case], []).append(case)
    return dict(sorted(by_fold.items(), key=lambda item: (item[0] == stage.fold, item[0])))


def _is_trained(stage: PreviousStage, fold: int | str) -> bool:
    return (stage.fold_folder(fold) / FINAL_CHECKPOINT).is_file()


def _note(folder: Path, case: str) -> Path:
    return folder / f"{case}.json"


def _read_note(file: Path) -> frozenset[str] | None:
    """The cases that a note names; None where it is not there, or damaged."""
    try:
        return frozenset(read_json_file(file, _NOTE)[TRAINING_CASES_KEY]) if file.is_file() else None
    except UserError:
        return None


def _write_note(file: Path, cases: frozenset[str] | None) -> None:
    """Name these cases in a note; None: remove it."""
    with explained_write_errors(file.parent):
        if cases is None:
            file.unlink(missing_ok=True)
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(file) as aside:
            aside.write_text(json.dumps({TRAINING_CASES_KEY: sorted(cases)}), encoding="utf-8")


def _predictions(folder: Path, case: str) -> list[Path]:
    """Where nnU-Net stores the prediction of a case, in one of its two data formats."""
    return [folder / f"{case}{ending}" for ending in (".b2nd", ".npz")]


def _versions(folder: Path, case: str) -> list[tuple[int, int]]:
    """Changes whenever the prediction of a case is written."""
    statuses = [file.stat() for file in _predictions(folder, case) if file.is_file()]
    return [(status.st_mtime_ns, status.st_ino) for status in statuses]
