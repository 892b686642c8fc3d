"""Step of self-training: predictions become the labels of a new dataset."""

from __future__ import annotations

import shutil
from pathlib import Path

from nnunetv2.paths import nnUNet_preprocessed

from nnunetv2_dycon.dataset_conversion.dataset_folder import existing_dataset_folder, new_dataset_name, raw_folder
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.self_training.write_pseudo_labeled_dataset import (
    PseudoLabeledDataset,
    write_pseudo_labeled_dataset,
)
from nnunetv2_dycon.self_training.write_pseudo_labeled_splits import (
    SPLITS_FILE,
    read_source_splits,
    write_pseudo_labeled_splits,
)


def add_pseudo_labels(source: str, predictions: Path, output: str, *, link: bool = True) -> PseudoLabeledDataset:
    """Make a dataset with pseudo-labels in nnU-Net's folders: raw data, dataset.json and folds.

    Afterwards it takes nnUNetv2_extract_fingerprint, nnUNetv2_move_plans_between_datasets and nnUNetv2_preprocess, as
    for any plans that come from another dataset. Calling it again changes nothing.

    Args:
        source: ID or name of the dataset with ``imagesUnlabeled``.
        predictions: see :func:`write_pseudo_labeled_dataset`.
        output: ID or name of the new dataset.
        link: see :func:`write_pseudo_labeled_dataset`.

    Returns:
        The new dataset.

    Raises:
        UserError: see :func:`write_pseudo_labeled_dataset` and :func:`write_pseudo_labeled_splits`, and when nnU-Net's
            folders are not set.
    """
    source_raw = existing_dataset_folder(source)
    name = pseudo_labeled_dataset_name(source_raw.name, output)
    if not nnUNet_preprocessed.is_set():
        raise UserError("nnUNet_preprocessed is not set. Export it as nnU-Net's documentation says.")
    preprocessed = Path(nnUNet_preprocessed.require())
    # What is wrong with the folds must be said before the dataset is made.
    read_source_splits(preprocessed / source_raw.name / SPLITS_FILE, [])
    dataset = write_pseudo_labeled_dataset(source_raw, predictions, raw_folder() / name, link=link)
    write_pseudo_labeled_splits(preprocessed / source_raw.name, dataset, preprocessed / name)
    # nnU-Net's planning would do this; plans that are moved need it done.
    (preprocessed / name).mkdir(exist_ok=True)
    shutil.copyfile(dataset.folder / "dataset.json", preprocessed / name / "dataset.json")
    return dataset


def pseudo_labeled_dataset_name(source_name: str, output: str) -> str:
    """The full name of the new dataset.

    Args:
        source_name: ``DatasetXXX_NAME``.
        output: an ID such as ``502``, for ``Dataset502_NAME_self_training``, or a full name.

    Raises:
        UserError: if it is neither, is the source itself, or another dataset has the ID.
    """
    name = new_dataset_name(output, f"{source_name.partition('_')[2]}_self_training")
    if name == source_name:
        raise UserError(f"{name} is the source itself: choose another ID or name with -o")
    return name
