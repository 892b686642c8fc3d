"""Names and IDs of datasets, and their places in nnU-Net's three folders."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nnunetv2.paths import nnUNet_preprocessed, nnUNet_raw, nnUNet_results
from nnunetv2.utilities.dataset_name_id_conversion import find_candidate_datasets

from nnunetv2_dycon.exceptions import UserError, listed

# nnU-Net pads IDs to three digits and takes longer ones as they are.
_NAME = re.compile(r"Dataset(\d{3,})_(.+)")
_FOLDERS = (nnUNet_raw, nnUNet_preprocessed, nnUNet_results)
_SHORTEST_HINT = 3  # letters
_NO_FILE_NAME = re.compile(r"[/\\\x00-\x1f\x7f]|^[-.]|^$")


def is_file_name(name: str) -> bool:
    """Whether what the data call a case can name a file that stays in its folder and is seen there.

    Names with separators or control characters cannot, nor can those that begin with a dot, as ``..`` does, or with a
    dash, which commands take for an option.
    """
    return _NO_FILE_NAME.search(name) is None


def dataset_id(name: str) -> int:
    """The ID in a name such as ``Dataset501_NAME``; a UserError for what is not the name of a dataset."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise UserError(f"{name} is not the name of a dataset: that is DatasetXXX_NAME with three digits or more")
    return int(match[1])


def dataset_description(name: str) -> str:
    """What follows the ID in the name of a dataset; a name of another form as it is."""
    match = _NAME.fullmatch(name)
    return name if match is None else match[2]


def models_of_trainer(model_folder: Path) -> str:
    """A sentence on the models of a trainer in a dataset, where there are others than that of a folder; else empty.

    Args:
        model_folder: ``nnUNet_results/DatasetXXX_NAME/TRAINER__PLANS__CONFIGURATION``.
    """
    trainer = model_folder.name.partition("__")[0]
    folds = model_folder.parent.glob(f"{trainer}__*__*/fold_*")
    others = sorted({fold.parent.name for fold in folds} - {model_folder.name})
    return f" This trainer has {listed(others)}." if others else ""


def dataset_name_of(name_or_id: str) -> str:
    """The full name of a dataset by its name, or by its ID (``501``) in any of nnU-Net's three folders.

    Raises:
        UserError: when no dataset or more than one has the ID, when it is neither ID nor name, and when none of the
            folders is set.
    """
    if not name_or_id.isdecimal():
        # A slash is what the shell completes the name of a folder with.
        name = name_or_id.rstrip("/")
        if _NAME.fullmatch(name) is None and (question := _do_you_mean(name)):
            raise UserError(f"{name} is not the name of a dataset.{question}")
        dataset_id(name)
        return name
    if not any(path.get() for path in _FOLDERS):
        raw_folder()
    folders = ", ".join(
        f"{path.env_var_name}={path.get()}" if path.get() else f"{path.env_var_name} is not set" for path in _FOLDERS
    )
    return _only_one(name_or_id, find_candidate_datasets(int(name_or_id)), f"nnU-Net's folders ({folders}) have", "ID")


def existing_dataset_folder(name_or_id: str) -> Path:
    """The folder in nnUNet_raw of a dataset by ID (``4``) or name; a UserError unless there is exactly one."""
    raw, name_or_id = raw_folder(), name_or_id.rstrip("/")
    names = sorted(folder.name for folder in raw.glob("Dataset*") if folder.is_dir())
    return raw / _only_one(name_or_id, names, f"nnUNet_raw ({raw}) has", "ID or name")


def find_raw_dataset_folder(name: str) -> Path | None:
    """``nnUNet_raw/DatasetXXX_NAME`` of a full name, or None where the raw data are not on this machine."""
    folder = raw_folder() / name if nnUNet_raw.get() else None
    return folder if folder is not None and folder.is_dir() else None


def new_dataset_name(name_or_id: str, description: str) -> str:
    """Full name for a new dataset by an ID from 1 to 999, or a name such as ``Dataset501_Hippocampus``.

    The description follows where only an ID is given; other characters than letters, digits, ``.``, ``_`` and ``-`` are
    replaced.

    Raises:
        UserError: if it is neither, or another dataset has the ID already (nnU-Net refuses to choose between them).
    """
    if name_or_id.isdecimal() and 1 <= int(name_or_id) <= 999:
        name = f"Dataset{int(name_or_id):03d}_" + re.sub(r"[^\w.-]", "_", description)
    elif re.fullmatch(r"Dataset\d{3}_[\w.-]+", name_or_id):
        name = name_or_id
    else:
        raise UserError(f"'{name_or_id}' is no dataset name: give an ID (501) or a name (Dataset501_Hippocampus)")
    # A longer ID that starts with this one counts too: nnU-Net takes it for this one.
    taken = [other for other in find_candidate_datasets(dataset_id(name)) if other != name]
    if taken:
        raise UserError(
            f"the dataset ID {dataset_id(name)} of {name} is taken by {taken[0]} (in nnUNet_raw, nnUNet_preprocessed "
            "or nnUNet_results): choose another ID"
        )
    return name


def folders_of_dataset(name: str) -> list[Path]:
    """The folders in nnUNet_raw and, where it is set, nnUNet_preprocessed that a dataset of this full name has.

    nnU-Net would take fingerprint and splits from preprocessed data of an earlier dataset of the name, so these count.
    """
    folders = [raw_folder() / name, *([preprocessed_folder() / name] if nnUNet_preprocessed.is_set() else [])]
    return [folder for folder in folders if folder.exists()]


def raw_folder() -> Path:
    """The folder ``nnUNet_raw``; a UserError if the environment variable is not set or empty."""
    return _folder(nnUNet_raw)


def preprocessed_folder() -> Path:
    """The folder ``nnUNet_preprocessed``; a UserError if the environment variable is not set."""
    return _folder(nnUNet_preprocessed)


def results_folder() -> Path:
    """The folder ``nnUNet_results``; a UserError if the environment variable is not set."""
    return _folder(nnUNet_results)


def _do_you_mean(text: str) -> str:
    """A question that names the datasets in nnU-Net's folders in whose names a text is; empty where there are none."""
    if len(text) < _SHORTEST_HINT:
        return ""
    folders = (folder for path in _FOLDERS if path.get() for folder in Path(path.get()).glob("Dataset*"))
    names = {folder.name for folder in folders if text.casefold() in folder.name.casefold() and folder.is_dir()}
    found = sorted(filter(_NAME.fullmatch, names))
    return f" Do you mean {listed(found)}?" if found else ""


def _folder(path: Any) -> Path:
    if not path.get():
        name, state = path.env_var_name, "is empty" if path.is_set() else "is not set"
        raise UserError(f"the environment variable {name} {state}: export {name}=FOLDER, as for nnU-Net")
    return Path(path.require())


def _only_one(name_or_id: str, names: Iterable[str], where: str, key: str) -> str:
    if name_or_id.isdecimal():
        matches = [(name, _NAME.fullmatch(name)) for name in names]
        found = [name for name, match in matches if match is not None and int(match[1]) == int(name_or_id)]
    else:
        found = [name for name in names if name == name_or_id]
    if len(found) != 1:
        number = f"{len(found)} datasets" if found else "no dataset"
        all_of_them = f" ({', '.join(found)}): remove or rename all but one"
        question = "" if name_or_id.isdecimal() else _do_you_mean(name_or_id)
        correct = (
            f".{question}" if question else f": correct the {key}, or the environment variable that names the folder"
        )
        remedy = all_of_them if found else correct
        raise UserError(f"{where} {number} with the {key} {name_or_id}{remedy}")
    return str(found[0])
