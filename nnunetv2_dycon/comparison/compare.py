"""Comparing trained models on their validation folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_dycon.comparison.models import unlearnt_folds
from nnunetv2_dycon.comparison.paired_difference import FEW_CASES, PairedDifference, paired_differences
from nnunetv2_dycon.comparison.validation_results import ValidationResults, read_validation_results
from nnunetv2_dycon.datasets.names import models_of_trainer
from nnunetv2_dycon.exceptions import UserError, counted, listed

_MAX_NAMED = 5


@dataclass(frozen=True)
class Comparison:
    """Models, each of which is compared with the first.

    Attributes:
        title: what was compared.
        results: of each model.
        differences: of each model but the first, to the first: class by class, and last the mean of the classes.
        warnings: what limits the comparison, a sentence each.
    """

    title: str
    results: list[ValidationResults]
    differences: list[list[PairedDifference]]
    warnings: list[str]


def compare_models(title: str, model_folders: dict[str, Path], folds: Sequence[str]) -> Comparison:
    """Compare the validation results of models.

    Args:
        title: what is compared, such as the dataset.
        model_folders: of each model by its name, the reference first.
        folds: to compare; empty for all that every model has validated.

    Raises:
        UserError: for fewer than two models, one without results, no fold or case in common, results that nnU-Net did
            not write, and folds of self-training that tell nothing; see
            :func:`~nnunetv2_dycon.comparison.models.unlearnt_folds`.
    """
    folds = _checked_folds(folds)
    _check_models(model_folders)
    available, warnings = {}, []
    for name, folder in model_folders.items():
        available[name], of_model = unlearnt_folds(name, folder, folds)
        warnings += of_model
    if not folds:
        folds, of_folds = _common_folds(available, warnings)
        warnings += of_folds
    results = [read_validation_results(folder, name, folds) for name, folder in model_folders.items()]
    first, *rest = results
    for other in rest:
        _refuse_other_references(first, other)
    differences = [paired_differences(first, other) for other in rest]
    for other, differences_of_other in zip(rest, differences, strict=True):
        warnings += _warnings_of(first, other, len(differences_of_other[-1].first))
    return Comparison(f"{title}, fold{'s' * (len(folds) > 1)} {', '.join(folds)}", results, differences, warnings)


def _check_models(model_folders: dict[str, Path]) -> None:
    if len(model_folders) < 2:
        raise UserError("One trainer has nothing to be compared with: name two or more with -tr.")
    for name, folder in model_folders.items():
        if not folder.is_dir():
            there = models_of_trainer(folder)
            raise UserError(f"{folder} is not there: train {name} first, or correct -c, -p or -tr.{there}")


def _checked_folds(folds: Sequence[str]) -> list[str]:
    """The folds as nnU-Net names them, each once."""
    if "all" in folds:
        raise UserError(
            'Fold "all" validates on its own training cases, so it cannot be compared: name others with -f.'
        )
    for fold in folds:
        if not fold.isdecimal():
            raise UserError(f"There is no fold {fold}: folds are numbers, such as -f 0 1.")
    return list(dict.fromkeys(str(int(fold)) for fold in folds))


def _common_folds(available: dict[str, list[str]], warnings: Sequence[str]) -> tuple[list[str], list[str]]:
    """The folds that every model has, and what more to warn of; a UserError where there is none."""
    folds = [fold for fold in next(iter(available.values())) if all(fold in of for of in available.values())]
    if not folds:
        found = "; ".join(f"{name}: {', '.join(of_model) or 'none'}" for name, of_model in available.items())
        reasons = " ".join([*warnings, "Train the missing folds to their end."])
        raise UserError(f"No fold of every trainer is validated and counts ({found}). {reasons}")
    more = []
    for name, of_model in available.items():
        if others := [fold for fold in of_model if fold not in folds]:
            more.append(f"Fold {', '.join(others)} of {name} is left out: not every trainer has it.")
    return folds, more


def _refuse_other_references(first: ValidationResults, other: ValidationResults) -> None:
    ours, theirs = first.reference_sizes, other.reference_sizes
    different = sorted(
        case
        for case in ours.keys() & theirs.keys()
        if any(ours[case][name] != theirs[case][name] for name in ours[case].keys() & theirs[case].keys())
    )
    if different:
        raise UserError(
            f"{first.name} and {other.name} were validated with different labels of {listed(different)}, so "
            "their Dice cannot be compared. If labels have changed, preprocess and train anew; if these are two "
            "datasets, they must have the same cases with the same labels."
        )


def _warnings_of(first: ValidationResults, other: ValidationResults, compared: int) -> list[str]:
    warnings = []
    for one, against in ((first, other), (other, first)):
        if only := [case for case in one.dice if case not in against.dice]:
            warnings.append(
                f"{len(only)} cases are in the validation of {one.name} only and are not compared with {against.name}: "
                f"{', '.join(only[:_MAX_NAMED])}{' ...' if len(only) > _MAX_NAMED else ''}. Their folds differ "
                "(splits_final.json)."
            )
    if compared == 0 and first.dice.keys() & other.dice.keys():
        raise UserError(
            f"{first.name} and {other.name} have no class in common that has a Dice in a case of both: compare models "
            "whose dataset.json has the same names of labels."
        )
    if compared == 0:
        raise UserError(
            f"{first.name} and {other.name} have no validation case in common: train both with the same "
            "splits_final.json."
        )
    names = [{key for dice in each.dice.values() for key in dice} for each in (first, other)]
    if only := sorted(names[0] ^ names[1]):
        warnings.append(f"{', '.join(only)}: not a class of both {first.name} and {other.name}, and not in the mean.")
    if compared < FEW_CASES:
        warnings.append(
            f"{counted(compared, 'case')} {'is' if compared == 1 else 'are'} too few to tell {other.name} from "
            f"{first.name}; {FEW_CASES} are needed. Train further folds, or evaluate both on labeled test scans with "
            "nnUNetv2_evaluate_folder."
        )
    return warnings
