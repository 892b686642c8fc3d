"""What a pseudo-labeled dataset says of where its cases and labels come from.

``self_training.json`` in the raw dataset says it for the next self-training. The key ``self_training`` of its
``dataset.json`` says it of every model that learns from it, since nnU-Net copies that file into the model's folder.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2_dycon.datasets.schemas import NOTHING
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.json_files import TEXT, either, list_of, read_json_file, record

RECORD = "self_training.json"
_KEY = "self_training"
_TEXTS = list_of(TEXT, "a list of texts")
_RECORD = record({"source": TEXT, "predictions": TEXT, "pseudo_labeled": _TEXTS})
_DATASET_JSON = record({}, {_KEY: record({"folds": either(_TEXTS, NOTHING), "cases": _TEXTS})})
_PREDICTIONS = re.compile(r"(?P<dataset>Dataset[^/]+)/[^/]+__[^/]+__[^/]+/fold_(?P<fold>\d+|all)/[^/]+")


@dataclass(frozen=True)
class PseudoLabels:
    """The labels of a dataset that are predictions.

    Attributes:
        folds: of all models that they come from, also of those in rounds before: such a model has learnt from the
            validation cases of all other folds. None where it is not known which models these were.
        cases: that have such labels.
    """

    folds: Sequence[str] | None
    cases: Sequence[str]

    def as_entry(self) -> dict[str, Any]:
        """What to add to a dataset.json."""
        return {_KEY: {"folds": self.folds, "cases": self.cases}}


def read_pseudo_labels(dataset_json_file: Path) -> PseudoLabels | None:
    """What a dataset.json says of pseudo-labels, that of a dataset or in the folder of a model; None without any."""
    entry = read_json_file(dataset_json_file, _DATASET_JSON).get(_KEY)
    return None if entry is None else PseudoLabels(**entry)


def pseudo_labels_of(predictions: Path, cases: Sequence[str], source_raw: Path) -> PseudoLabels:
    """What a new dataset says of the predictions that become its labels.

    Args:
        predictions: their folder.
        cases: that are predicted.
        source_raw: the raw dataset whose labels the new one has too.
    """
    of_source = read_pseudo_labels(source_raw / "dataset.json")
    all_cases = sorted({*cases, *(() if of_source is None else of_source.cases)})
    match = _PREDICTIONS.fullmatch(origin_of_predictions(predictions))
    if match is None:
        return PseudoLabels(None, all_cases)
    learnt_from = [of_source]
    if match["dataset"] != source_raw.name:
        # The model of a round before; of any other dataset nothing is known.
        dataset_json = source_raw.with_name(match["dataset"]) / "dataset.json"
        before = read_pseudo_labels(dataset_json) if dataset_json.is_file() else None
        if before is None:
            return PseudoLabels(None, all_cases)
        learnt_from.append(before)
    earlier = [each.folds for each in learnt_from if each is not None]
    if None in earlier:
        return PseudoLabels(None, all_cases)
    return PseudoLabels(sorted({match["fold"]}.union(*filter(None, earlier))), all_cases)


def model_of_predictions(predictions: Path, source_raw: Path) -> tuple[Path, str] | None:
    """The fold folder of the model that self-training had predict, and its fold.

    Args:
        predictions: their folder.
        source_raw: the raw dataset whose cases are predicted.

    Returns:
        None for predictions elsewhere, and for those of a model that has not learnt from this dataset, also by way of
        a round before: its cases may have the same names.
    """
    match = _PREDICTIONS.fullmatch(origin_of_predictions(predictions))
    if match is None:
        return None
    model_raw = source_raw.with_name(match["dataset"])
    if model_raw != source_raw and not (
        is_pseudo_labeled(model_raw) and read_record(model_raw)["source"] == source_raw.name
    ):
        return None
    return predictions.resolve().parent, match["fold"]


def is_pseudo_labeled(folder: Path) -> bool:
    """Whether a raw dataset was made by self-training."""
    return (folder / RECORD).is_file()


def origin_of_predictions(predictions: Path) -> str:
    """What the record says of a folder of predictions: dataset, model and fold, wherever nnUNet_results is."""
    return "/".join(predictions.resolve().parts[-4:])


def read_record(folder: Path) -> dict[str, Any]:
    """Where the cases of a pseudo-labeled dataset come from; a UserError if self-training did not make it."""
    if not is_pseudo_labeled(folder):
        raise UserError(f"{folder} exists and was not made by self-training: choose another dataset ID or name with -o")
    return read_json_file(folder / RECORD, _RECORD)


def refuse_another_dataset(folder: Path, expected: dict[str, Any]) -> dict[str, Any]:
    """Refuse a dataset that is there and was made from something else.

    Args:
        folder: of the raw dataset.
        expected: what its record should hold, or a part of that; where the predictions come from may differ.

    Returns:
        The record that is there.
    """
    there = read_record(folder)
    # What a release without that option did.
    there.setdefault("all_components", True)
    different = sorted(key for key in expected if key != "predictions" and there.get(key) != expected[key])
    if different == ["all_components"]:
        has, change = ("with", "give it") if there["all_components"] else ("without", "leave it out")
        raise UserError(
            f"{folder} was made {has} --all_components: {change} to go on with that dataset, or choose another "
            "dataset ID or name with -o"
        )
    if different:
        raise UserError(
            f"{folder} holds an earlier self-training of other data ({', '.join(different)} differ): choose another "
            "dataset ID or name with -o, or remove it with its preprocessed data and results"
        )
    return there
