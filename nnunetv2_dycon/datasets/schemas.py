"""What splits_final.json and dataset.json must hold, as nnU-Net 2.8 reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnunetv2_dycon.datasets.names import is_file_name
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.json_files import (
    ANYTHING,
    TEXT,
    Schema,
    either,
    list_of,
    mapping_of,
    number,
    record,
)

FILE_NAME = Schema(
    'a name without "/", "\\" and control characters that begins with neither "." nor "-"',
    lambda value: isinstance(value, str) and is_file_name(value),
)
FILE_ENDING = Schema(
    'a file ending such as ".nii.gz"',
    lambda value: isinstance(value, str) and value[:1] == "." and is_file_name(f"case{value}"),
)
NOTHING = Schema("null", lambda value: value is None)
LABEL = number("an integer of at least 0", minimum=0, integer=True)
_CASES = list_of(FILE_NAME, "a list of case names")
_REGION = Schema(
    "a list of such integers",
    lambda value: isinstance(value, list) and value != [] and list_of(LABEL, "").problem(value, "") is None,
)

SPLITS = list_of(
    record({"train": _CASES, "val": _CASES}, {"unlabeled": _CASES}, closed=True),
    "a list of folds, each with the lists 'train' and 'val'",
)
_FILE_LIST_ENTRY = record({"images": list_of(TEXT, "a list of files"), "label": TEXT})
LABELS = mapping_of(either(LABEL, _REGION), "an object from the labels' names to values")
DATASET_JSON = record(
    {
        "labels": LABELS,
        "file_ending": FILE_ENDING,
    },
    {
        "channel_names": mapping_of(ANYTHING, "an object from the channels' numbers to names"),
        "modality": mapping_of(ANYTHING, "an object from the channels' numbers to names"),
        "numTraining": LABEL,
        "regions_class_order": either(list_of(LABEL, "a list of labels"), NOTHING),
        "overwrite_image_reader_writer": either(TEXT, NOTHING),
        "dataset": mapping_of(_FILE_LIST_ENTRY, "an object from the cases' names to their files"),
    },
)


def check_dataset_json(content: object, where: str) -> None:
    """Check a dataset.json: what nnU-Net asserts when it trains, and that names of cases are safe as those of files.

    Args:
        content: as it was read.
        where: the file, for the message.

    Raises:
        UserError: for a missing key and for values that nnU-Net cannot use.
    """
    DATASET_JSON.check(content, where)
    assert isinstance(content, dict)
    if "channel_names" not in content and "modality" not in content:
        raise UserError(f"{where} lacks the key channel_names: add it.")
    if unsafe := [name for name in content.get("dataset", {}) if not is_file_name(name)]:
        raise UserError(
            f"{where} lists the case {unsafe[0]!r}, and files are named after cases: rename it to "
            f"{FILE_NAME.description}."
        )
    _check_labels(content, where)


def _check_labels(dataset_json: Mapping[str, Any], where: str) -> None:
    labels = dataset_json["labels"]
    if labels.get("background") != 0:
        raise UserError(f'{where}: labels must give "background" the value 0; correct the file.')
    known = [value for name, value in labels.items() if name != "ignore"]
    values = sorted({label for value in known for label in (value if isinstance(value, list) else [value])})
    if values != list(range(len(values))):
        raise UserError(
            f"{where}: the labels have the values {', '.join(map(str, values))}, and nnU-Net needs consecutive ones "
            "from 0 on; number them anew, in the label files too."
        )
    if len(values) == 1:
        raise UserError(f"{where}: the labels have no foreground, which is what a network learns; add its label.")
    if "ignore" in labels and labels["ignore"] != len(values):
        raise UserError(f'{where}: the label "ignore" must have the highest value, {len(values)}; correct the file.')
    regions = [value for value in known if not set(np.atleast_1d(value).tolist()) <= {0}]
    order = dataset_json.get("regions_class_order") or []
    if not any(isinstance(value, list) and len(value) > 1 for value in known):
        return
    if len(order) != len(regions):
        raise UserError(
            f"{where} has regions, so regions_class_order must be a list with a label for each of the {len(regions)} "
            "regions; correct the file."
        )
    if unknown := [label for label in order if label not in values[1:]]:
        raise UserError(
            f"{where}: regions_class_order gives predictions the value {unknown[0]}, which is no label of the "
            f"foreground ({', '.join(map(str, values[1:]))}); correct the file."
        )
