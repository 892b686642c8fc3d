"""Diagnosis of the trainings in a results folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nnunetv2.utilities.file_path_utilities import convert_trainer_plans_config_to_identifier

from nnunetv2_dycon.datasets.names import dataset_name_of, models_of_trainer, preprocessed_folder, results_folder
from nnunetv2_dycon.datasets.splits import SPLITS_FILE, UNLABELED_KEY, read_splits, validation_only
from nnunetv2_dycon.diagnosis.finding import Finding
from nnunetv2_dycon.exceptions import UserError, counted
from nnunetv2_dycon.training.checkpoints import (
    FINAL_CHECKPOINT,
    STATE_KEY,
    checkpoints_in,
    read_checkpoint,
    training_state_of,
)
from nnunetv2_dycon.training.curves import Curves
from nnunetv2_dycon.training.learnt_labels import noted_in_checkpoint, refuse_learnt_labels
from nnunetv2_dycon.training.verdicts import first_verdicts

_REMEDY = "Remove it, and look again."


def diagnose_trainings(
    name_or_id: str, trainer: str, plans_identifier: str, configuration: str, folds: Sequence[str] = ()
) -> Iterator[Finding]:
    """Look at what the trainings of a trainer have logged: the verdicts that their logs have, with their epochs.

    Args:
        name_or_id: of the dataset.
        trainer: a semi-supervised one.
        plans_identifier: of the plans.
        configuration: of these plans.
        folds: such as ``0`` or ``all``; none for all that are there.
    """
    try:
        model = convert_trainer_plans_config_to_identifier(trainer, plans_identifier, configuration)
        folder = results_folder() / dataset_name_of(name_or_id) / model
        present = sorted(path.name.removeprefix("fold_") for path in folder.glob("fold_*") if path.is_dir())
        if not present and not folds:
            others = models_of_trainer(folder)
            remedy = f".{others} Correct -c or -p." if others else ""
            yield Finding(f"{folder} has no training yet{remedy}", is_note=bool(others))
        for fold in folds or present:
            if fold in present:
                yield from _training(folder / f"fold_{fold}", fold)
            else:
                there = f"but those of {', '.join(present)}: correct -f" if present else "nor of any other: train it"
                yield Finding(f"{folder} has no training of fold {fold}, {there}", is_problem=True)
    except UserError as error:
        yield Finding(str(error), is_problem=True)


def _training(folder: Path, fold: str) -> Iterator[Finding]:
    try:
        yield from _verdicts_on(folder, fold)
        _refuse_learnt_labels(folder, fold)
    except UserError as error:
        yield Finding(str(error), is_problem=True)


def _refuse_learnt_labels(folder: Path, fold: str) -> None:
    """Say what a training that goes on, or a validation, would be refused for."""
    splits_file = preprocessed_folder() / folder.parent.parent.name / SPLITS_FILE
    splits, files = read_splits(splits_file), checkpoints_in(folder)
    if not (files and fold.isdecimal() and int(fold) < len(splits)):
        return
    split = splits[int(fold)]
    refuse_learnt_labels(
        noted_in_checkpoint(files[0], _REMEDY, weights_only=True),
        validation_only(split["train"], split["val"]).union(split.get(UNLABELED_KEY, [])),
        where=f'{splits_file}, "val" or "{UNLABELED_KEY}" of fold {fold},',
        model=str(folder),
        remedy="Put back the folds that it was trained with, or train anew.",
    )


def _verdicts_on(folder: Path, fold: str) -> Iterator[Finding]:
    files = checkpoints_in(folder)
    if not files:
        yield Finding(f"fold {fold} has no checkpoint: unless its training has just begun, train it", is_note=True)
        return
    # Of a training that goes on, any can be the newest, also beside the last one of a training before it.
    file = max(files, key=lambda path: path.stat().st_mtime_ns)
    checkpoint = read_checkpoint(file, "cpu", weights_only=True, remedy=_REMEDY)
    if STATE_KEY not in checkpoint:
        yield Finding(f"fold {fold}: {file} was written by {checkpoint['trainer_name']}, which has no teacher")
        return
    state, logged = training_state_of(checkpoint, file, _REMEDY), checkpoint["logging"]
    if not isinstance(logged, dict) or "ramp" not in logged:
        raise UserError(f"{file} has no log of a semi-supervised training. {_REMEDY}")
    curves = _curves(state, logged, is_final=file.name == FINAL_CHECKPOINT)
    if curves is None:
        yield Finding(
            f"fold {fold}: {file} does not say how many epochs the training was to have, as checkpoints of this "
            "release do; look again when it is done",
            is_note=True,
        )
        return
    verdicts = first_verdicts(curves)
    done = f"fold {fold}: {curves.epochs} of {counted(curves.num_epochs, 'epoch')} are in {file}"
    if not curves.is_long_enough:
        looks_at = f"the rules look at {curves.window} epochs in a row"
        yield Finding(f"{done}, too short a training to judge: {looks_at}", is_note=True)
    elif curves.epochs < curves.window:
        yield Finding(f"{done}, too few to judge yet: the rules look at {curves.window} epochs in a row")
    else:
        yield Finding(done if verdicts else f"{done}, and nothing speaks against it")
    for epoch, verdict in verdicts:
        text = f"fold {fold}, epoch {epoch}: {verdict.text}"
        yield Finding(text, is_problem=verdict.is_problem, is_note=not verdict.is_problem)


def _curves(state: dict[str, Any], logged: dict[str, Any], *, is_final: bool) -> Curves | None:
    """What a checkpoint has logged; None if the length of its training is not known."""
    num_epochs = state.get("num_epochs", len(logged["ramp"]) if is_final else None)
    if num_epochs is None:
        return None
    settings = state["settings"]
    return Curves(
        logged,
        num_epochs,
        settings["warmup_fraction"],
        settings["rampup_fraction"],
        state.get("term_weights", {}),
        state.get("least_supervised_loss", -1.0),
    )
