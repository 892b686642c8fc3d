"""Label names for a dataset that comes without dataset.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from nnunetv2_dycon.exceptions import UserError


def name_labels(label_files: Sequence[Path], names: Sequence[str] | None) -> dict[str, int]:
    """Name the label values that occur in the given files.

    Args:
        label_files: label files of the labeled cases, and of no others.
        names: names of the labels 1, 2, … in this order; ``class_1``, ``class_2``, … where ``None``.

    Returns:
        nnU-Net's ``labels``: name to value, with ``background`` 0.

    Raises:
        UserError: if a file cannot be read or holds other than whole numbers from 0, if there are fewer names than
            labels, or if the values have a gap that only names can explain.
    """
    values: set[int] = set()
    for file in label_files:
        values |= _values(file)
    highest = max(values | {1})
    if names is not None:
        if highest > len(names):
            raise UserError(f"--labels names {len(names)} label(s), but the labeled cases contain the label {highest}")
    else:
        missing = sorted(set(range(1, highest + 1)) - values)
        if missing:
            raise UserError(
                f"the labeled cases contain the labels {sorted(values)}: {missing[0]} is missing, and nnU-Net needs "
                f"consecutive ones. Name all labels from 1 on with --labels, or label more cases (--labeled)"
            )
        names = [f"class_{value}" for value in range(1, highest + 1)]
    if len({"background", *names}) != len(names) + 1:
        raise UserError("--labels must give every label from 1 on a name of its own, other than background")
    return {"background": 0} | {name: value for value, name in enumerate(names, start=1)}


def _values(file: Path) -> set[int]:
    try:
        found = np.unique(sitk.GetArrayFromImage(sitk.ReadImage(str(file))))
    except RuntimeError as error:
        raise UserError(f"the label file {file} cannot be read: replace it ({error})") from error
    if not np.all((found >= 0) & (found == np.floor(found))):
        raise UserError(f"the label file {file} holds values that are not whole numbers from 0 on: correct it")
    return {int(value) for value in found}
