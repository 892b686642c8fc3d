"""Names and folders of datasets in nnUNet_raw."""

from __future__ import annotations

import re
from pathlib import Path

from nnunetv2.paths import nnUNet_raw
from nnunetv2.utilities.dataset_name_id_conversion import find_candidate_datasets

from nnunetv2_dycon.exceptions import UserError


def raw_folder() -> Path:
    """Folder that the environment variable ``nnUNet_raw`` names.

    Raises:
        UserError: if the variable is not set.
    """
    if not nnUNet_raw.is_set():
        raise UserError("the environment variable nnUNet_raw is not set: export nnUNet_raw=FOLDER_OF_YOUR_DATASETS")
    return Path(nnUNet_raw.require())


def existing_dataset_folder(dataset_name_or_id: str) -> Path:
    """Folder of a raw dataset.

    Args:
        dataset_name_or_id: an ID such as ``4`` or a name such as ``Dataset004_Hippocampus``.

    Returns:
        Its folder in nnUNet_raw.

    Raises:
        UserError: if there is no such dataset, or more than one with the ID.
    """
    raw = raw_folder()
    if dataset_name_or_id.isdecimal():
        prefix = f"Dataset{int(dataset_name_or_id):03d}_"
        found = sorted(folder for folder in raw.glob(prefix + "*") if folder.is_dir())
    else:
        found = [raw / dataset_name_or_id] if (raw / dataset_name_or_id).is_dir() else []
    if len(found) != 1:
        number = "no dataset" if not found else f"{len(found)} datasets"
        raise UserError(f"nnUNet_raw ({raw}) has {number} with the ID or name {dataset_name_or_id}")
    return found[0]


def new_dataset_name(dataset_name_or_id: str, description: str) -> str:
    """Full name for a new dataset.

    Args:
        dataset_name_or_id: an ID from 1 to 999, or a name such as ``Dataset501_Hippocampus``.
        description: what follows the ID where only an ID is given; other characters than letters, digits, ``.``, ``_``
            and ``-`` are replaced.

    Returns:
        The name ``DatasetXXX_…``.

    Raises:
        UserError: if it is neither, or another dataset has the ID already (nnU-Net refuses to choose between them).
    """
    if dataset_name_or_id.isdecimal() and 1 <= int(dataset_name_or_id) <= 999:
        name = f"Dataset{int(dataset_name_or_id):03d}_" + re.sub(r"[^\w.-]", "_", description)
    elif re.fullmatch(r"Dataset\d{3}_[\w.-]+", dataset_name_or_id):
        name = dataset_name_or_id
    else:
        raise UserError(
            f"'{dataset_name_or_id}' is no dataset name: give an ID (501) or a name (Dataset501_Hippocampus)"
        )
    taken = [other for other in find_candidate_datasets(int(name[7:10])) if other != name]
    if taken:
        raise UserError(
            f"the dataset ID {int(name[7:10])} of {name} is taken by {taken[0]} (in nnUNet_raw, nnUNet_preprocessed or "
            f"nnUNet_results): choose another ID"
        )
    return name
