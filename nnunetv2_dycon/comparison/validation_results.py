"""What nnU-Net wrote about the validation cases of a trained model's folds."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.evaluation.evaluate_predictions import key_to_label_or_region

from nnunetv2_dycon.datasets.schemas import FILE_ENDING, LABELS
from nnunetv2_dycon.exceptions import UserError, listed
from nnunetv2_dycon.json_files import TEXT, list_of, mapping_of, read_json_file, record
from nnunetv2_dycon.self_training.record import read_pseudo_labels

_SUMMARY = record(
    {"metric_per_case": list_of(record({"prediction_file": TEXT, "metrics": mapping_of()}), "a list of cases")}
)


@dataclass(frozen=True)
class ValidationResults:
    """Dice of a trained model on its validation cases, from ``fold_X/validation/summary.json`` of some folds.

    Attributes:
        name: of the model, such as ``nnUNetTrainerDyCON``.
        folds: those read, sorted.
        dice: in [0, 1], by case and by the name of class or region; NaN for a class that is neither in the reference
            nor in the prediction. A case that several folds validate has the mean over them.
        reference_sizes: voxels of the reference, by case and by the name of class or region.
    """

    name: str
    folds: tuple[str, ...]
    dice: dict[str, dict[str, float]]
    reference_sizes: dict[str, dict[str, int]]


@dataclass(frozen=True)
class _Score:
    dice: float
    reference_size: int


def validated_folds(model_folder: Path) -> list[str]:
    """The folds of a model folder whose validation is done, sorted. Fold ``all`` validates on its training cases."""
    summaries = model_folder.glob("fold_*/validation/summary.json")
    folds = (file.parent.parent.name.removeprefix("fold_") for file in summaries)
    return sorted((fold for fold in folds if fold.isdecimal()), key=int)


def validated_cases(summary_file: Path, file_ending: str) -> set[str]:
    """The cases that a ``summary.json`` of nnU-Net's has scores of.

    Args:
        summary_file: beside the predictions.
        file_ending: of the dataset.

    Raises:
        UserError: for a file that is not nnU-Net's.
    """
    entries = read_json_file(summary_file, _SUMMARY)["metric_per_case"]
    return {Path(entry["prediction_file"]).name.removesuffix(file_ending) for entry in entries}


def read_validation_results(model_folder: Path, name: str, folds: Sequence[str]) -> ValidationResults:
    """Read the results of folds.

    Args:
        model_folder: such as ``nnUNet_results/Dataset501_X/nnUNetTrainer__nnUNetPlans__3d_fullres``.
        name: to call the model by.
        folds: such as ``0``.

    Raises:
        UserError: when a fold has no results or was validated on pseudo-labels, or files are not nnU-Net's.
    """
    of_model = record({"labels": LABELS, "file_ending": FILE_ENDING})
    dataset_json = read_json_file(model_folder / "dataset.json", of_model)
    pseudo_labels = read_pseudo_labels(model_folder / "dataset.json")
    names = _names_of_keys(dataset_json["labels"])
    dice: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    sizes: dict[str, dict[str, int]] = defaultdict(dict)
    for fold in folds:
        file = model_folder / f"fold_{fold}" / "validation" / "summary.json"
        if not file.is_file():
            raise UserError(
                f"{file} is not there: fold {fold} of {name} has no validation results. Train it to its end, or add "
                "them with nnUNetv2_train ... --val."
            )
        cases = _read_summary(file, names, dataset_json["file_ending"])
        if pseudo_labels and (predicted := sorted({*pseudo_labels.cases} & cases.keys())):
            raise UserError(
                f"Fold {fold} of {name} was validated on pseudo-labels ({listed(predicted)}): restore the "
                f"splits_final.json of {model_folder.parent.name} that self-training made, and train anew."
            )
        for case, values in cases.items():
            for key, value in values.items():
                dice[case][key].append(value.dice)
                sizes[case][key] = value.reference_size
    means = {case: {key: float(np.mean(of_folds)) for key, of_folds in keys.items()} for case, keys in dice.items()}
    return ValidationResults(name, tuple(folds), dict(sorted(means.items())), dict(sizes))


def _names_of_keys(labels: dict[str, Any]) -> dict[Any, str]:
    """The name of each label or region, by what nnU-Net calls it in summaries."""
    names = {}
    for name, values in labels.items():
        # With regions nnU-Net evaluates tuples, without them numbers.
        for key in [tuple(values)] if isinstance(values, list) else [values, (values,)]:
            names[key] = name
    return names


def _read_summary(file: Path, names: dict[Any, str], file_ending: str) -> dict[str, dict[str, _Score]]:
    """The scores of each case and class."""
    entries = read_json_file(file, _SUMMARY)["metric_per_case"]
    try:
        return {
            Path(entry["prediction_file"]).name.removesuffix(file_ending): {
                names[key_to_label_or_region(key)]: _Score(_dice(metrics["Dice"]), int(metrics["n_ref"]))
                for key, metrics in entry["metrics"].items()
            }
            for entry in entries
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{file} is not what nnU-Net writes for the labels of this dataset ({error!r}): validate again with "
            "nnUNetv2_train ... --val."
        ) from error


def _dice(value: object) -> float:
    dice = float(value)  # type: ignore[arg-type]  # a TypeError says so
    if not (math.isnan(dice) or 0 <= dice <= 1):
        raise ValueError(f"a Dice of {dice}")
    return dice
