"""Which labels a model has learnt from: checkpoints note it, since folds may change until the model is used again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nnunetv2_dycon.datasets.splits import read_splits
from nnunetv2_dycon.exceptions import UserError, listed
from nnunetv2_dycon.training.checkpoints import STATE_KEY, TRAINING_CASES_KEY, read_saved


def noted_training_cases(state: Mapping[str, Any]) -> frozenset[str] | None:
    """The cases whose labels a model has learnt from.

    Args:
        state: what a checkpoint holds under :data:`STATE_KEY`.

    Returns:
        None where that is not known: releases before 0.2.0 did not note it.
    """
    cases = state.get(TRAINING_CASES_KEY)
    return frozenset(cases) if isinstance(cases, list) else None


def noted_in_checkpoint(file: Path, remedy: str, *, weights_only: bool = False) -> frozenset[str]:
    """The cases of :func:`noted_training_cases`, none where that is not known, as of nnU-Net's own trainers.

    Args:
        file: a checkpoint; nnU-Net predicts with those too of which all but the weights was left out.
        remedy: see :func:`read_saved`.
        weights_only: see :func:`read_saved`.

    Raises:
        UserError: see :func:`read_saved`.
    """
    checkpoint = read_saved(file, "cpu", weights_only=weights_only, remedy=remedy)
    state = checkpoint.get(STATE_KEY) if isinstance(checkpoint, Mapping) else None
    return (noted_training_cases(state) if isinstance(state, Mapping) else None) or frozenset()


def refuse_learnt_labels(
    learnt: Iterable[str], held_back: Iterable[str], *, where: str, model: str, remedy: str
) -> None:
    """Refuse a model that has learnt from labels which are held back now. nnU-Net does not look.

    Args:
        learnt: see :func:`noted_training_cases`.
        held_back: cases that are for validation, on which the model would look better than it is, or whose labels are
            off limits.
        where: these cases are.
        model: its folder.
        remedy: what to do about it.

    Raises:
        UserError: naming the cases.
    """
    if both := sorted(set(learnt).intersection(held_back)):
        labels = "its label" if len(both) == 1 else "their labels"
        raise UserError(f"{where} has {listed(both)} now, and the model in {model} has learnt from {labels}. {remedy}")


def place_of_cases(splits_file: Path, fold: int, *keys: str) -> tuple[str, str]:
    """For messages, where the cases of a fold are that its model must not have learnt, and what to do about those.

    Args:
        splits_file: may not be there.
        fold: nnU-Net draws one that is not in the file.
        keys: of the fold in the file.
    """
    if fold < len(read_splits(splits_file)):
        names = " or ".join(f'"{key}"' for key in keys)
        return f"{splits_file}, {names} of fold {fold},", "Put back the folds that it was trained with"
    drawn = f"nnU-Net's random split for fold {fold}, which {splits_file} lacks,"
    return drawn, "Add the fold that it was trained with to the file"
