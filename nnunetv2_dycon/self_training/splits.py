"""The folds of a pseudo-labeled dataset."""

from __future__ import annotations

from pathlib import Path

from batchgenerators.utilities.file_and_folder_operations import save_json

from nnunetv2_dycon.datasets.splits import (
    SPLITS_FILE,
    Split,
    off_limits_cases_of_all_folds,
    read_or_make_splits,
    validation_only,
)
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.json_files import read_json_file
from nnunetv2_dycon.training.checkpoints import checkpoints_in, is_whole
from nnunetv2_dycon.training.learnt_labels import noted_in_checkpoint, refuse_learnt_labels


def write_pseudo_labeled_splits(
    source_preprocessed: Path, labeled: list[str], pseudo_labeled: list[str], target_preprocessed: Path
) -> list[Split]:
    """Write the source's folds for the new dataset: the same validation cases, and all pseudo-labeled ones in training.

    Where the source has no ``splits_final.json`` yet, its folds are those that nnU-Net would make of its labeled
    cases. With fewer than five labeled cases nnU-Net can make none: nothing is written, and fold ``all``, which needs
    no file, is the one to train.

    Raises:
        UserError: where the source's file puts cases off limits, and where the new dataset has other folds already.
    """
    splits = read_source_splits(source_preprocessed / SPLITS_FILE, labeled)
    splits = [{"train": [*split["train"], *pseudo_labeled], "val": split["val"]} for split in splits]
    file = target_preprocessed / SPLITS_FILE
    if file.is_file():
        if read_json_file(file) != splits:
            raise UserError(
                f"{file} has other folds than {source_preprocessed / SPLITS_FILE}, and models that were trained on it "
                "have learnt from other cases: restore the folds, or choose another -o"
            )
    elif splits:
        target_preprocessed.mkdir(parents=True, exist_ok=True)
        save_json(splits, str(file), sort_keys=False)
    return splits


def read_source_splits(splits_file: Path, labeled: list[str]) -> list[Split]:
    """See :func:`read_or_make_splits`; a UserError where the file puts cases off limits."""
    if off_limits_cases_of_all_folds(splits_file):
        raise UserError(
            f'{splits_file} puts labels off limits ("unlabeled"), which self-training does not support: make a dataset '
            'with "nnunetv2_dycon simulate" or move those scans to imagesUnlabeled'
        )
    return read_or_make_splits(splits_file, labeled)


def check_first_model(model: Path, fold: str, splits: list[Split], splits_file: Path) -> None:
    """Refuse a first model that has learnt from its fold's validation cases, which are the second model's too.

    Args:
        model: its fold folder; a model that is not trained to its end counts too.
        fold: of the model.
        splits: of the source, from :func:`read_source_splits`.
        splits_file: of the source, for messages.

    Raises:
        UserError: naming these cases.
    """
    files = [file for file in checkpoints_in(model) if is_whole(file)]
    if not files or not fold.isdecimal() or int(fold) >= len(splits):
        return
    split, remedy = splits[int(fold)], f"remove {model} to train it anew, and choose a new -o."
    refuse_learnt_labels(
        noted_in_checkpoint(files[0], f"Restore it, or {remedy}"),
        validation_only(split["train"], split["val"]),
        where=f'{splits_file}, "val" of fold {fold},',
        model=str(model),
        remedy=f"Put back the folds that it was trained with, or {remedy}",
    )
