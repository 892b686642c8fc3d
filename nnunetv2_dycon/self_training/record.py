"""What a pseudo-labeled dataset says of where its cases and labels come from: ``self_training.json``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.json_files import read_json

RECORD = "self_training.json"
_FOLD_FOLDER = re.compile(r"fold_(\d+|all)")


def is_pseudo_labeled(folder: Path) -> bool:
    """Whether a raw dataset was made by self-training."""
    return (folder / RECORD).is_file()


def predicting_fold(folder: Path) -> str | None:
    """The fold of the model that predicted the labels of a pseudo-labeled dataset.

    Returns:
        A number or ``all``; None where the predictions were not in the folder of a fold, so that no one can tell.

    Raises:
        UserError: for a record that self-training did not write.
    """
    match = _FOLD_FOLDER.fullmatch(Path(read_record(folder)["predictions"]).parent.name)
    return None if match is None else match[1]


def origin_of_predictions(predictions: Path) -> str:
    """What the record says of a folder of predictions: dataset, model and fold, wherever nnUNet_results is."""
    return "/".join(predictions.absolute().parts[-4:])


def read_record(folder: Path) -> dict[str, Any]:
    """Where the cases of a pseudo-labeled dataset come from; a UserError if self-training did not make it."""
    if not is_pseudo_labeled(folder):
        raise UserError(f"{folder} exists and was not made by self-training: choose another dataset ID or name with -o")
    return read_json(folder / RECORD, ("source", "predictions"))


def refuse_another_dataset(folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Refuse a dataset that is there and was made from something else.

    Args:
        folder: of the raw dataset.
        record: what its record should hold, or a part of that; where the predictions come from may differ.

    Returns:
        The record that is there.
    """
    there = read_record(folder)
    # What a release without that option did.
    there.setdefault("all_components", True)
    different = sorted(key for key in record if key != "predictions" and there.get(key) != record[key])
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
