"""A dataset whose unlabeled scans have predictions for labels: the step of self-training that nnU-Net cannot do."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from batchgenerators.utilities.file_and_folder_operations import save_json
from nnunetv2.imageio.reader_writer_registry import LIST_OF_IO_CLASSES

from nnunetv2_dycon.datasets.names import (
    dataset_description,
    existing_dataset_folder,
    new_dataset_name,
    preprocessed_folder,
    raw_folder,
)
from nnunetv2_dycon.datasets.raw_dataset import (
    LabeledDataset,
    UnlabeledCase,
    files_per_case,
    find_unlabeled_cases,
    misnamed_unlabeled_folder,
    read_labeled_dataset,
    surplus_files,
)
from nnunetv2_dycon.datasets.raw_file_names import UNLABELED_FOLDER_NAME, place_images, place_labels
from nnunetv2_dycon.datasets.splits import SPLITS_FILE, Split, off_limits_cases_of_all_folds, read_or_make_splits
from nnunetv2_dycon.exceptions import UserError, counted, is_or_are, listed
from nnunetv2_dycon.files import copy_files, hash_file, written_aside
from nnunetv2_dycon.json_files import read_json, read_json_file
from nnunetv2_dycon.preprocessing.nifti_integrity import READING_ERRORS, check_nifti

RECORD = "self_training.json"


@dataclass(frozen=True)
class PseudoLabeledDataset:
    """A raw dataset, the cases that have labels of their own and those whose labels are predictions, both sorted.

    ``empty`` are those of the latter whose predictions were seen to be background alone when the dataset was made.
    """

    folder: Path
    labeled: list[str]
    pseudo_labeled: list[str]
    empty: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class SourceCases:
    """A raw dataset as nnU-Net sees it, its dataset.json and the cases of ``imagesUnlabeled``, at least one."""

    labeled: LabeledDataset
    dataset_json: dict[str, Any]
    unlabeled: list[UnlabeledCase]


def add_pseudo_labels(source: str, predictions: Path, output: str, *, link: bool = True) -> PseudoLabeledDataset:
    """Make a dataset with pseudo-labels in nnU-Net's folders: raw data, dataset.json and folds.

    Afterwards it takes nnUNetv2_extract_fingerprint, nnUNetv2_move_plans_between_datasets and nnUNetv2_preprocess, as
    for any plans that come from another dataset. Calling it again changes nothing. Source and output are given by ID or
    name; see :func:`write_pseudo_labeled_dataset` for the rest, also for errors.
    """
    source_raw = existing_dataset_folder(source)
    name = pseudo_labeled_dataset_name(source_raw.name, output)
    source_preprocessed, target_preprocessed = preprocessed_folder() / source_raw.name, preprocessed_folder() / name
    # What is wrong with the folds must be said before the dataset is made.
    read_source_splits(source_preprocessed / SPLITS_FILE, [])
    dataset = write_pseudo_labeled_dataset(source_raw, predictions, raw_folder() / name, link=link)
    write_pseudo_labeled_splits(source_preprocessed, dataset, target_preprocessed)
    # nnU-Net's planning would do this; plans that are moved need it done.
    target_preprocessed.mkdir(exist_ok=True)
    shutil.copyfile(dataset.folder / "dataset.json", target_preprocessed / "dataset.json")
    return dataset


def pseudo_labeled_dataset_name(source_name: str, output: str) -> str:
    """The full name of the new dataset: ``Dataset502_NAME_self_training`` for the output ``502``.

    Raises:
        UserError: if the output is neither ID nor name, is the source itself, or another dataset has the ID.
    """
    name = new_dataset_name(output, f"{dataset_description(source_name)}_self_training")
    if name == source_name:
        raise UserError(f"{name} is the source itself: choose another ID or name with -o")
    return name


def read_source_cases(raw_dataset_folder: Path) -> SourceCases:
    """List the cases of a raw dataset and check that their files are there. None is opened.

    Raises:
        UserError: when there are no unlabeled scans, when a case is both labeled and unlabeled, and for missing files.
    """
    dataset = read_labeled_dataset(raw_dataset_folder)
    if dataset.dataset_json is None:
        raise UserError(f"{raw_dataset_folder} has no dataset.json: bring it into nnU-Net's raw layout first")
    unlabeled = find_unlabeled_cases(raw_dataset_folder, dataset.file_ending)
    if not unlabeled:
        remedy = misnamed_unlabeled_folder(raw_dataset_folder) or "Put the unlabeled ones there."
        raise UserError(f"{raw_dataset_folder / UNLABELED_FOLDER_NAME} has no scans. {remedy}")
    if both := sorted({case.identifier for case in unlabeled} & dataset.training.keys()):
        raise UserError(
            f"{raw_dataset_folder}: {', '.join(both)} is both labeled and in {UNLABELED_FOLDER_NAME}: remove one of "
            "the two"
        )
    needed = [file for case in dataset.training.values() for file in (*case.images, case.label)]
    if missing := [file for file in needed if not file.is_file()]:
        raise UserError(f"the file {missing[0]} is missing: add it, or remove its case")
    files = files_per_case((case.images for case in dataset.training.values()), dataset.dataset_json)
    for case in unlabeled:
        if surplus := surplus_files(case, dataset.dataset_json):
            raise UserError(surplus)
        if len(case.images) != files:
            raise UserError(
                f"case {case.identifier} of {raw_dataset_folder / UNLABELED_FOLDER_NAME} has {len(case.images)} of "
                f"{files} channels: add the missing files"
            )
    return SourceCases(dataset, dataset.dataset_json, unlabeled)


def write_pseudo_labeled_dataset(
    source_raw: Path, predictions: Path, target_raw: Path, *, link: bool = True
) -> PseudoLabeledDataset:
    """Make a raw dataset of a dataset's labeled cases and of its unlabeled scans with predictions for labels.

    Source: the recipe of self-training (Lee 2013, "Pseudo-Label"), which nnU-Net's maintainers advise for unlabeled
    data. A dataset that an earlier call made from the same labeled cases and predictions is left as it is.

    Args:
        source_raw: raw dataset with ``imagesUnlabeled``.
        predictions: folder with ``CASE`` plus file ending for each case of ``imagesUnlabeled``, as nnUNetv2_predict
            writes them. Other files in it are ignored.
        target_raw: folder to make, ``nnUNet_raw/DatasetXXX_NAME``. ``self_training.json`` in it records where its
            cases come from.
        link: make symbolic links to the source's images and labels, not copies. Predictions are always copied.

    Raises:
        UserError: if the source has no unlabeled scans or a case that is both labeled and unlabeled, if files or
            predictions are missing or damaged, or if the target is something else. Nothing has been written then.
    """
    source = read_source_cases(source_raw)
    ending = source.labeled.file_ending
    predicted = {case.identifier: predictions / (case.identifier + ending) for case in source.unlabeled}
    if missing := [file for file in predicted.values() if not file.is_file()]:
        raise UserError(
            f"{len(missing)} of {len(predicted)} predictions are missing, {missing[0]} for one: predict all of "
            f"{UNLABELED_FOLDER_NAME} with nnUNetv2_predict"
        )
    dataset = PseudoLabeledDataset(target_raw, sorted(source.labeled.training), sorted(predicted))
    hashes = [f"{identifier} {hash_file(file)}\n" for identifier, file in sorted(predicted.items())]
    record = {
        "source": source_raw.name,
        "predictions": origin_of_predictions(predictions),
        "labeled": dataset.labeled,
        "pseudo_labeled": dataset.pseudo_labeled,
        "pseudo_labels_sha256": hashlib.sha256("".join(hashes).encode()).hexdigest(),
    }
    if target_raw.exists():
        _refuse_another_dataset(target_raw, record)
        return dataset
    empty = [case for case, file in sorted(predicted.items()) if not check_prediction(file, source.dataset_json)]
    dataset_json = {key: value for key, value in source.dataset_json.items() if key != "dataset"}
    dataset_json |= {"name": target_raw.name, "numTraining": len(dataset.labeled) + len(dataset.pseudo_labeled)}
    with written_aside(target_raw) as partial:
        images = {identifier: case.images for identifier, case in source.labeled.training.items()}
        images |= {case.identifier: case.images for case in source.unlabeled}
        labels = {identifier: case.label for identifier, case in source.labeled.training.items()}
        copy_files(place_images(images, partial / "imagesTr", ending), link=link)
        copy_files(place_labels(labels, partial / "labelsTr", ending), link=link)
        copy_files(place_labels(predicted, partial / "labelsTr", ending))
        save_json(dataset_json, str(partial / "dataset.json"), sort_keys=False)
        save_json(record, str(partial / RECORD), sort_keys=False)
    return replace(dataset, empty=empty)


def warn_of_empty_predictions(dataset: PseudoLabeledDataset) -> None:
    """Print which pseudo-labels teach background alone, if any do."""
    if dataset.empty:
        print(
            f"WARNING: of {counted(len(dataset.pseudo_labeled), 'predicted scan')}, {len(dataset.empty)} "
            f"{is_or_are(dataset.empty)} background alone: {listed(dataset.empty)}. If there should be something, "
            "the first model needs a longer training.",
            flush=True,
        )


def origin_of_predictions(predictions: Path) -> str:
    """What the record says of a folder of predictions: dataset, model and fold, wherever nnUNet_results is."""
    return "/".join(predictions.absolute().parts[-4:])


def write_pseudo_labeled_splits(
    source_preprocessed: Path, dataset: PseudoLabeledDataset, target_preprocessed: Path
) -> list[Split]:
    """Write the source's folds for the new dataset: the same validation cases, and all pseudo-labeled ones in training.

    Where the source has no ``splits_final.json`` yet, its folds are those that nnU-Net would make of its labeled
    cases. With fewer than five labeled cases nnU-Net can make none: nothing is written, and fold ``all``, which needs
    no file, is the one to train.

    Raises:
        UserError: where the source's file puts cases off limits, and where the new dataset has other folds already.
    """
    splits = read_source_splits(source_preprocessed / SPLITS_FILE, dataset.labeled)
    splits = [{"train": [*split["train"], *dataset.pseudo_labeled], "val": split["val"]} for split in splits]
    file = target_preprocessed / SPLITS_FILE
    if file.is_file():
        if read_json_file(file) != splits:
            raise UserError(f"{file} has other folds than {source_preprocessed / SPLITS_FILE}: remove it to go on")
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


def read_record(folder: Path) -> dict[str, Any]:
    """Where the cases of a pseudo-labeled dataset come from; a UserError if self-training did not make it."""
    if not (folder / RECORD).is_file():
        raise UserError(f"{folder} exists and was not made by self-training: choose another dataset ID or name with -o")
    return read_json(folder / RECORD, ("source", "predictions"))


def _refuse_another_dataset(folder: Path, record: dict[str, Any]) -> None:
    there = read_record(folder)
    if different := sorted(key for key in record if key != "predictions" and there.get(key) != record[key]):
        raise UserError(
            f"{folder} holds an earlier self-training of other data ({', '.join(different)} differ): choose another "
            "dataset ID or name with -o, or remove it with its preprocessed data and results"
        )


def check_prediction(file: Path, dataset_json: dict[str, Any]) -> bool:
    """Read a predicted segmentation to its end and see that it could be a label file of the dataset.

    nnUNetv2_predict writes a label map for a region-based dataset too.

    Returns:
        Whether it has any foreground.

    Raises:
        UserError: for a file that is missing or damaged, as a killed prediction leaves it, and for values that
            are not labels of the dataset.
    """
    try:
        segmentation = _read_prediction(file, dataset_json["file_ending"])
    except READING_ERRORS as error:
        raise UserError(
            f"{file} cannot be read ({' '.join(str(error).split())}): remove it and predict that case again"
        ) from error
    # A region lists several values, and the ignore label is never predicted.
    labels = [value for name, value in dataset_json["labels"].items() if name != "ignore"]
    values = set(np.unique(segmentation).tolist())
    if unknown := sorted(values - set(np.hstack(labels).tolist())):
        raise UserError(
            f"{file} holds the value {unknown[0]:g}, which is no label of the dataset: predict with a model of this "
            "dataset"
        )
    return values != {0}


def _read_prediction(file: Path, file_ending: str) -> np.ndarray:
    if file.name.endswith((".nii", ".nii.gz")):
        check_nifti(file)
        # ITK refuses some of the directions that nnU-Net reads.
        image = nibabel.load(file)
        assert isinstance(image, nibabel.Nifti1Pair)
        return np.asarray(image.dataobj)
    errors = []
    for reader in LIST_OF_IO_CLASSES:
        if file_ending.lower() in reader.supported_file_endings:
            try:
                return reader().read_seg(str(file))[0]
            except READING_ERRORS as error:
                errors.append(str(error))
    raise ValueError("; ".join(errors) or f"nnU-Net has no reader for {file_ending}")
