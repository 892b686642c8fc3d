"""Labeled cases as nnU-Net has preprocessed them: those of a fold, and whether they are all there."""

from __future__ import annotations

import os
import shlex
import zipfile
from collections.abc import Iterable
from pathlib import Path

import blosc2

from nnunetv2_dycon.datasets.names import dataset_id
from nnunetv2_dycon.datasets.splits import NUMBER_OF_FOLDS, SPLITS_FILE, off_limits_cases, read_splits
from nnunetv2_dycon.exceptions import UserError, is_or_are, listed

# nnUNetDatasetBlosc2 and nnUNetDatasetNumpy; the latter unpacks to .npy.
_FILES_OF_A_CASE = {".b2nd": (".b2nd", "_seg.b2nd", ".pkl"), ".npz": (".npz", ".pkl")}
_ENDINGS = (".pkl", ".npy", *_FILES_OF_A_CASE)


def preprocessing_command(dataset_name: str, configuration: str, plans: str) -> str:
    """The command that preprocesses the labeled cases of a dataset."""
    return f"nnUNetv2_preprocess -d {dataset_id(dataset_name)} -c {configuration} -plans_name {shlex.quote(plans)}"


def preprocessed_cases(folder: Path) -> list[str]:
    """The cases in a folder that nnU-Net preprocessed into, sorted; none where there is no such folder."""
    names = os.listdir(folder) if folder.is_dir() else []
    images = (name for name in names if name.endswith(tuple(_FILES_OF_A_CASE)) and not name.endswith("_seg.b2nd"))
    return sorted(Path(name).stem for name in images if not name.startswith("."))


def check_preprocessed_folder(folder: Path, preprocess: str) -> None:
    """Check that nnU-Net can list a folder of preprocessed cases.

    Args:
        folder: ``nnUNet_preprocessed/DatasetXXX_NAME/<data_identifier>``.
        preprocess: the command that makes it.

    Raises:
        UserError: for a folder that is missing, has no cases or has other files in it.
    """
    names = sorted(file.name for file in folder.iterdir() if file.is_file()) if folder.is_dir() else []
    if not preprocessed_cases(folder):
        raise UserError(f"{folder} has no preprocessed cases: run {preprocess}")
    if others := [name for name in names if name.startswith(".") or not name.endswith(_ENDINGS)]:
        raise UserError(f"{folder / others[0]} is none of nnU-Net's files, and nnU-Net would fail on it: remove it.")
    if len({Path(name).suffix for name in names} & _FILES_OF_A_CASE.keys()) > 1:
        raise UserError(f"{folder} has cases of two formats, .b2nd and .npz: remove it and run {preprocess}")


def check_cases_of_fold(base: Path, folder: Path, fold: int | str, file_ending: str, preprocess: str) -> None:
    """Check the cases that a training of a fold reads, some of them hours later.

    Args:
        base: ``nnUNet_preprocessed/DatasetXXX_NAME``.
        folder: the folder of the configuration's data in it.
        fold: its number, or ``all``.
        file_ending: of label files.
        preprocess: the command that preprocesses the labeled cases.

    Raises:
        UserError: for folds that cannot be read or that nnU-Net cannot make, labels that are off limits and would be
            used, cases without preprocessed data, or with such that are cut short, or without the label file that the
            final validation reads, and files that nnU-Net would take for cases.
    """
    splits_file = base / SPLITS_FILE
    splits = read_splits(splits_file)
    off_limits_cases(splits_file, fold)
    check_preprocessed_folder(folder, preprocess)
    used = validated = cases = preprocessed_cases(folder)
    where = str(folder)
    if isinstance(fold, int) and not splits_file.exists() and len(cases) < NUMBER_OF_FOLDS:
        raise UserError(f"{folder} has {len(cases)} cases, and nnU-Net makes {NUMBER_OF_FOLDS} folds: train fold all.")
    if isinstance(fold, int) and fold < len(splits):
        where, split = f"fold {fold} of {splits_file}", splits[fold]
        used, validated = [*split["train"], *split["val"]], split["val"]
        # nnU-Net validates on patches of some after each epoch.
        if empty := [key for key in ("train", "val") if not split[key]]:
            raise UserError(f'"{empty[0]}" of {where} is empty: name a case, or remove the file and train fold all.')
    names = set(os.listdir(folder))
    endings = _FILES_OF_A_CASE[".b2nd" if any(name.endswith(".b2nd") for name in names) else ".npz"]
    missing = sorted({case for case in used if not names >= {case + ending for ending in endings}})
    if missing:
        # Not the fold: folds share their cases, and the doctor says the same sentence once.
        lacking = f"{listed(missing)} {'lacks' if len(missing) == 1 else 'lack'} preprocessed data in {folder}"
        names_in_file = (
            f"correct the names in {splits_file}, or " if isinstance(fold, int) and fold < len(splits) else ""
        )
        raise UserError(f"{lacking}: {names_in_file}run {preprocess}")
    files = [folder / (case + ending) for case in sorted(set(used)) for ending in endings]
    if damaged := [file.name for file in files if not _is_whole(file)]:
        them = "it" if len(damaged) == 1 else "them"
        text = f"{listed(damaged)} {is_or_are(damaged)} damaged or cut short, in {folder}"
        raise UserError(f"{text}. To write {them} anew, run {preprocess}")
    _check_files(
        (base / "gt_segmentations" / f"{case}{file_ending}" for case in validated),
        f"the validation at the end compares with it. Copy the label file there, or run {preprocess}",
    )


def check_fingerprint(base: Path) -> None:
    """Refuse a dataset of which the fingerprint is missing: nnU-Net copies it at the start of a training."""
    command = f"nnUNetv2_extract_fingerprint -d {dataset_id(base.name)}"
    _check_files([base / "dataset_fingerprint.json"], f"nnU-Net copies it. Run {command}")


def _is_whole(file: Path) -> bool:
    """Whether a preprocessed file has its end, where each of the formats has what the whole is known by."""
    try:
        if file.suffix == ".b2nd":
            blosc2.open(str(file), mode="r")
            return True
        if file.suffix == ".npz":
            return zipfile.is_zipfile(file)
        with file.open("rb") as stream:
            stream.seek(-1, os.SEEK_END)
            return stream.read() == b"."  # the opcode STOP
    except (OSError, RuntimeError, ValueError):
        return False


def _check_files(files: Iterable[Path], remedy: str) -> None:
    if missing := [file for file in files if not file.is_file()]:
        raise UserError(f"{listed(map(str, missing))} {is_or_are(missing)} not there, and {remedy}")
