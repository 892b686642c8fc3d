"""Names and IDs of datasets, and their places in nnU-Net's three folders."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from nnunetv2.paths import nnUNet_preprocessed, nnUNet_raw, nnUNet_results
from nnunetv2.utilities.dataset_name_id_conversion import find_candidate_datasets

from nnunetv2_dycon.exceptions import UserError

# nnU-Net pads IDs to three digits and takes longer ones as they are.
_FOLDERS = (nnUNet_raw, nnUNet_preprocessed, nnUNet_results)
_NAME = re.compile(r"Dataset(\d{3,})_(.+)")


def dataset_id(name: str) -> int:
    """The ID of a dataset.

    Args:
        name: ``Dataset501_NAME``; IDs above 999 have more digits.

    Raises:
        UserError: when that is not the name of a dataset.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise UserError(f"{name} is not the name of a dataset: that is DatasetXXX_NAME with three digits or more")
    return int(match[1])


def dataset_description(name: str) -> str:
    """What follows the ID in the name of a dataset; a name of another form as it is."""
    match = _NAME.fullmatch(name)
    return name if match is None else match[2]


def dataset_name_of(name_or_id: str) -> str:
    """The full name of a dataset.

    Args:
        name_or_id: an ID such as ``501``, of a dataset in any of nnU-Net's three folders, or a name such as
            ``Dataset501_NAME``.

    Raises:
        UserError: when no dataset has the ID, when several have it, or when it is neither ID nor name.
    """
    if not name_or_id.isdecimal():
        dataset_id(name_or_id)
        return name_or_id
    found = [name for name in _names_that_start_with(int(name_or_id)) if _has_id(name, int(name_or_id))]
    if len(found) != 1:
        number = "no dataset" if not found else f"more than one dataset ({', '.join(found)})"
        folders = ", ".join(
            f"{path.env_var_name}={path.get()}" for path in (nnUNet_raw, nnUNet_preprocessed, nnUNet_results)
        )
        raise UserError(f"there is {number} with the ID {name_or_id} in nnU-Net's folders ({folders})")
    return found[0]


def raw_folder() -> Path:
    """The folder ``nnUNet_raw``.

    Raises:
        UserError: if the environment variable is not set.
    """
    return _folder(nnUNet_raw)


def preprocessed_folder() -> Path:
    """The folder ``nnUNet_preprocessed``.

    Raises:
        UserError: if the environment variable is not set.
    """
    return _folder(nnUNet_preprocessed)


def results_folder() -> Path:
    """The folder ``nnUNet_results``.

    Raises:
        UserError: if the environment variable is not set.
    """
    return _folder(nnUNet_results)


def find_raw_dataset_folder(name: str) -> Path | None:
    """``nnUNet_raw/DatasetXXX_NAME``, or None where the raw data are not on this machine.

    Args:
        name: the full name.
    """
    folder = raw_folder() / name if nnUNet_raw.is_set() else None
    return folder if folder is not None and folder.is_dir() else None


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
        wanted = int(dataset_name_or_id)
        found = sorted(folder for folder in raw.glob("Dataset*_*") if folder.is_dir() and _has_id(folder.name, wanted))
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
            f"'{dataset_name_or_id}' is no dataset name: give an ID from 1 to 999 (501) or a name "
            "(Dataset501_Hippocampus)"
        )
    # Longer IDs that start with this one count too: nnU-Net takes them for it.
    taken = [other for other in _names_that_start_with(dataset_id(name)) if other != name]
    if taken:
        raise UserError(
            f"the dataset ID {dataset_id(name)} of {name} is taken by {taken[0]} (in nnUNet_raw, nnUNet_preprocessed "
            "or nnUNet_results): choose another ID"
        )
    return name


def _folder(path: Any) -> Path:
    if not path.is_set():
        name = path.env_var_name
        raise UserError(f"the environment variable {name} is not set: export {name}=FOLDER as for nnU-Net")
    return Path(path.require())


def _names_that_start_with(number: int) -> list[str]:
    return [str(name) for name in find_candidate_datasets(number)]


def _has_id(name: str, number: int) -> bool:
    match = _NAME.fullmatch(name)
    return match is not None and int(match[1]) == number
