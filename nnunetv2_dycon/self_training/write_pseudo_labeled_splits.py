"""Folds of a dataset with pseudo-labels."""

from __future__ import annotations

import json
from pathlib import Path

from batchgenerators.utilities.file_and_folder_operations import save_json
from nnunetv2.utilities.crossval_split import generate_crossval_split

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.self_training.write_pseudo_labeled_dataset import PseudoLabeledDataset
from nnunetv2_dycon.training.dataloading.splits import off_limits_cases_of_all_folds

SPLITS_FILE = "splits_final.json"
# nnUNetTrainer.do_split
_NUMBER_OF_FOLDS, _SEED = 5, 12345


def write_pseudo_labeled_splits(
    source_preprocessed: Path, dataset: PseudoLabeledDataset, target_preprocessed: Path
) -> list[dict[str, list[str]]]:
    """Write the source's folds for the new dataset: the same validation cases, and all pseudo-labeled ones in training.

    Where the source has no ``splits_final.json`` yet, its folds are those that nnU-Net would make of its labeled
    cases. With fewer than five labeled cases nnU-Net can make none: nothing is written, and fold ``all``, which needs
    no file, is the one to train.

    Args:
        source_preprocessed: ``nnUNet_preprocessed/DatasetXXX_SOURCE``.
        dataset: the new dataset.
        target_preprocessed: ``nnUNet_preprocessed/DatasetXXX_NEW``; made where it is not there.

    Returns:
        The folds, empty where there are none.

    Raises:
        UserError: where the source's file puts cases off limits, and where the new dataset has other folds already.
    """
    splits = read_source_splits(source_preprocessed / SPLITS_FILE, dataset.labeled)
    splits = [{"train": [*split["train"], *dataset.pseudo_labeled], "val": split["val"]} for split in splits]
    file = target_preprocessed / SPLITS_FILE
    if file.is_file():
        if json.loads(file.read_text(encoding="utf-8")) != splits:
            raise UserError(f"{file} has other folds than {source_preprocessed / SPLITS_FILE}: remove it to go on")
    elif splits:
        target_preprocessed.mkdir(parents=True, exist_ok=True)
        save_json(splits, str(file), sort_keys=False)
    return splits


def read_source_splits(file: Path, labeled: list[str]) -> list[dict[str, list[str]]]:
    """The folds of a dataset without pseudo-labels, as nnU-Net reads or would make them.

    Args:
        file: its ``splits_final.json``; may be absent.
        labeled: its labeled cases.

    Returns:
        The folds, empty where nnU-Net can make none.

    Raises:
        UserError: where the file puts cases off limits.
    """
    if off_limits_cases_of_all_folds(file):
        raise UserError(
            f'{file} puts labels off limits ("unlabeled"), which self-training does not support: make a dataset with '
            '"nnunetv2_dycon simulate" or move those scans to imagesUnlabeled'
        )
    if file.is_file():
        return json.loads(file.read_text(encoding="utf-8"))
    if len(labeled) < _NUMBER_OF_FOLDS:
        return []
    splits = generate_crossval_split(sorted(labeled), seed=_SEED, n_splits=_NUMBER_OF_FOLDS)
    return [{key: [str(case) for case in cases] for key, cases in split.items()} for split in splits]
