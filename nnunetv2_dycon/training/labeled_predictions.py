"""What the first stage of a cascade predicts of labeled cases, and whose labels the models had learnt from.

nnU-Net stores these predictions for the next stage when a model is validated, over those of any other model. So a note
beside each prediction tells which labels its model had learnt from: the checkpoints may be others by now.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.datasets.splits import UNLABELED_KEY, off_limits_cases, read_splits, validation_only
from nnunetv2_dycon.exceptions import UserError, listed
from nnunetv2_dycon.files import explained_write_errors, written_aside
from nnunetv2_dycon.json_files import TEXT, list_of, read_json_file, record
from nnunetv2_dycon.training import distributed
from nnunetv2_dycon.training.checkpoints import FINAL_CHECKPOINT, TRAINING_CASES_KEY
from nnunetv2_dycon.training.inputs import splits_file_of
from nnunetv2_dycon.training.learnt_labels import noted_in_checkpoint, place_of_cases, refuse_learnt_labels
from nnunetv2_dycon.training.previous_stage import PreviousStage, labeled_predictions_folder, previous_stage_of

_NOTE = record({TRAINING_CASES_KEY: list_of(TEXT, "a list of cases")})


@contextmanager
def noted_predictions(trainer: nnUNetTrainer) -> Iterator[None]:
    """In this block, nnU-Net validates a model and stores its predictions for next stages; after it, these have notes.

    What other models have predicted of these cases is removed first: after a validation that was killed, it would pass
    for what this model predicts.

    Args:
        trainer: a semi-supervised one. Where it is not known from which labels it has learnt, nothing is noted.
    """
    folders = [
        labeled_predictions_folder(Path(trainer.output_folder_base), stage)
        for stage in trainer.configuration_manager.next_stage_names or ()
    ]
    cases = trainer.do_split()[1]

    def remove() -> None:
        for folder in folders:
            for case in cases:
                for file in (_note(folder, case), *_predictions(folder, case)):
                    file.unlink(missing_ok=True)

    def write() -> None:
        text = json.dumps({TRAINING_CASES_KEY: sorted(trainer.training_cases or ())})
        for folder in folders:
            with explained_write_errors(folder):
                for case in cases:
                    with written_aside(_note(folder, case)) as aside:
                        aside.write_text(text, encoding="utf-8")

    if folders:
        distributed.on_first_process(remove)
    yield
    if folders and trainer.training_cases is not None:
        distributed.on_first_process(write)


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
    splits = read_splits(splits_file)
    validated = {case for split in splits for case in split["val"]}
    folds: list[int | str] = [fold for fold, split in enumerate(splits) if set(split["val"]) & set(missing)]
    if stage.fold == "all":
        folds = ["all"]
    elif lonely := [case for case in missing if case not in validated]:
        raise UserError(
            f"{problem} A model predicts the validation cases of its fold, and no fold of {splits_file} validates "
            f"{lonely[0]}: add folds until each labeled case is validated by one, or train fold all in both stages."
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
        UserError: naming these labels and the commands to run.
    """
    stage = previous_stage_of(trainer)
    if stage is None or trainer.fold == "all":
        return
    splits_file = splits_file_of(trainer)
    train, val = trainer.do_split()
    off_limits, validation = set(off_limits_cases(splits_file, trainer.fold)), validation_only(train, val)
    where, remedy = place_of_cases(splits_file, trainer.fold, "val", UNLABELED_KEY)
    # A checkpoint can be large: each is read once.
    learnt_by_fold = cache(partial(_learnt_by_fold, stage))
    refuse_learnt_labels(
        learnt_by_fold(trainer.fold),
        off_limits | validation,
        where=where,
        model=str(stage.checkpoint.parent),
        remedy=f"{remedy}, or train it anew: {stage.training_command(trainer.fold)}",
    )
    fold_of: dict[str, int] = {}
    for fold, split in enumerate(read_splits(splits_file)):
        fold_of |= dict.fromkeys(validation_only(split["train"], split["val"]), fold)
    fold_of |= dict.fromkeys(validation, trainer.fold)
    wrong: dict[str, frozenset[str]] = {}
    for case in sorted(labeled):
        forbidden = off_limits | (validation if case in validation else {case} & set(fold_of))
        # Of a release that wrote no notes: most likely the fold's model is still the one.
        likely_fold = fold_of.get(case) if off_limits else None
        if learnt := _learnt_before(stage, case, likely_fold, learnt_by_fold) & forbidden:
            wrong[case] = learnt
    if not wrong:
        return
    labels = sorted({label for learnt in wrong.values() for label in learnt})
    commands = []
    for fold in sorted({fold_of[case] for case in wrong if case in fold_of}):
        again = " --val" if _is_trained(stage, fold) and not learnt_by_fold(fold).intersection(labels) else ""
        commands.append(stage.training_command(fold) + again)
    raise UserError(
        f"{stage.labeled_predictions} has predictions of {listed(wrong)} by models that have learnt from the labels of "
        f"{listed(labels)}, which they must not know for fold {trainer.fold}. {remedy}"
        + (f", or predict anew: {'; '.join(commands)}" if commands else ".")
    )


def _learnt_before(
    stage: PreviousStage, case: str, fold: int | None, learnt_by_fold: Callable[[int], frozenset[str]]
) -> frozenset[str]:
    """The cases from whose labels the model that predicted a case had learnt; without a note, those of a fold's."""
    note = _note(stage.labeled_predictions, case)
    if note.is_file():
        return frozenset(read_json_file(note, _NOTE)[TRAINING_CASES_KEY])
    return frozenset() if fold is None else learnt_by_fold(fold)


def _learnt_by_fold(stage: PreviousStage, fold: int) -> frozenset[str]:
    if not _is_trained(stage, fold):
        return frozenset()
    file = stage.fold_folder(fold) / FINAL_CHECKPOINT
    return noted_in_checkpoint(file, f"Train it again: {stage.training_command(fold)}")


def _is_trained(stage: PreviousStage, fold: int | str) -> bool:
    return (stage.fold_folder(fold) / FINAL_CHECKPOINT).is_file()


def _note(folder: Path, case: str) -> Path:
    return folder / f"{case}.json"


def _predictions(folder: Path, case: str) -> list[Path]:
    """Where nnU-Net stores the prediction of a case, in one of its two data formats."""
    return [folder / f"{case}{ending}" for ending in (".b2nd", ".npz")]
