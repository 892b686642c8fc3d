"""A dataset whose unlabeled scans have predictions for labels: the step of self-training that nnU-Net cannot do."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from batchgenerators.utilities.file_and_folder_operations import save_json
from tqdm import tqdm

from nnunetv2_dycon.datasets.label_maps import check_prediction, rewrite_label_map
from nnunetv2_dycon.datasets.names import (
    dataset_description,
    existing_dataset_folder,
    new_dataset_name,
    preprocessed_folder,
    raw_folder,
)
from nnunetv2_dycon.datasets.raw_file_names import UNLABELED_FOLDER_NAME, place_images, place_labels
from nnunetv2_dycon.datasets.splits import SPLITS_FILE
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.files import copy_files, hash_file, written_aside
from nnunetv2_dycon.postprocessing.largest_components import (
    Structure,
    keep_largest_components,
    read_labels,
    structures_of_one_component,
)
from nnunetv2_dycon.self_training.record import (
    RECORD,
    model_of_predictions,
    origin_of_predictions,
    pseudo_labels_of,
    refuse_another_dataset,
)
from nnunetv2_dycon.self_training.source_cases import SourceCases, read_source_cases
from nnunetv2_dycon.self_training.splits import (
    check_first_model,
    read_source_splits,
    write_pseudo_labeled_splits,
)


@dataclass(frozen=True)
class PseudoLabeledDataset:
    """A raw dataset, the cases that have labels of their own and those whose labels are predictions, both sorted.

    Attributes:
        folder: the raw dataset's.
        labeled: cases that have labels of their own.
        pseudo_labeled: cases whose labels are predictions.
        one_component: the structures of which predictions keep their largest connected component alone.
        empty: pseudo-labeled cases whose predictions are background alone.
        removed: of pseudo-labeled cases that lost components, the share of their foreground.
    """

    folder: Path
    labeled: list[str]
    pseudo_labeled: list[str]
    one_component: list[Structure] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    removed: dict[str, float] = field(default_factory=dict)


def add_pseudo_labels(
    source: str, predictions: Path, output: str, *, link: bool = True, all_components: bool = False
) -> PseudoLabeledDataset:
    """Make a dataset with pseudo-labels in nnU-Net's folders: raw data, dataset.json and folds.

    Afterwards it takes nnUNetv2_extract_fingerprint, nnUNetv2_move_plans_between_datasets and nnUNetv2_preprocess, as
    for any plans that come from another dataset. Calling it again changes nothing. Source and output are given by ID or
    name; see :func:`write_pseudo_labeled_dataset` for the rest, also for errors.
    """
    source_raw = existing_dataset_folder(source)
    name = pseudo_labeled_dataset_name(source_raw.name, output)
    source_preprocessed, target_preprocessed = preprocessed_folder() / source_raw.name, preprocessed_folder() / name
    # What is wrong with the folds must be said before the dataset is made.
    splits_file = source_preprocessed / SPLITS_FILE
    splits = read_source_splits(splits_file, sorted(read_source_cases(source_raw).labeled.training))
    if (model := model_of_predictions(predictions, source_raw)) is not None:
        # The folds may have changed since the model was trained.
        check_first_model(*model, splits, splits_file)
    dataset = write_pseudo_labeled_dataset(
        source_raw, predictions, raw_folder() / name, link=link, all_components=all_components
    )
    write_pseudo_labeled_splits(source_preprocessed, dataset.labeled, dataset.pseudo_labeled, target_preprocessed)
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


def write_pseudo_labeled_dataset(
    source_raw: Path, predictions: Path, target_raw: Path, *, link: bool = True, all_components: bool = False
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
        link: make symbolic links to the source's images and labels, not copies. Of predictions there are always copies.
        all_components: take the predictions as they are. Otherwise structures that have one component in every labeled
            case keep their largest alone; see :mod:`nnunetv2_dycon.postprocessing.largest_components`.

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
        "all_components": all_components,
    }
    if target_raw.exists():
        there = refuse_another_dataset(target_raw, record)
        one_component = [tuple(structure) for structure in there.get("one_component", [])]
        found = {name: there[name] for name in ("empty", "removed") if name in there}
        return replace(dataset, one_component=one_component, **found)
    labels = {identifier: case.label for identifier, case in source.labeled.training.items()}
    one_component = [] if all_components else structures_of_one_component(read_labels(labels), source.dataset_json)
    dataset_json = {key: value for key, value in source.dataset_json.items() if key != "dataset"}
    dataset_json |= {"name": target_raw.name, "numTraining": len(dataset.labeled) + len(dataset.pseudo_labeled)}
    dataset_json |= pseudo_labels_of(predictions, dataset.pseudo_labeled, source_raw).as_entry()
    with written_aside(target_raw) as partial:
        empty, removed = _place_predictions(predicted, partial / "labelsTr", source, one_component)
        images = {identifier: case.images for identifier, case in source.labeled.training.items()}
        images |= {case.identifier: case.images for case in source.unlabeled}
        copy_files(place_images(images, partial / "imagesTr", ending), link=link)
        copy_files(place_labels(labels, partial / "labelsTr", ending), link=link)
        record |= {"one_component": one_component, "empty": empty, "removed": removed}
        save_json(dataset_json, str(partial / "dataset.json"), sort_keys=False)
        save_json(record, str(partial / RECORD), sort_keys=False)
    return replace(dataset, one_component=one_component, empty=empty, removed=removed)


def _place_predictions(
    predicted: dict[str, Path], folder: Path, source: SourceCases, one_component: list[Structure]
) -> tuple[list[str], dict[str, float]]:
    """Check the predictions and copy them, without components that are too many.

    Returns:
        The cases whose predictions are background alone, and the share of the foreground that others lost.
    """
    empty: list[str] = []
    removed: dict[str, float] = {}
    for case, file in tqdm(sorted(predicted.items()), desc="Reading predictions"):
        label_map = check_prediction(file, source.dataset_json)
        kept = keep_largest_components(label_map, one_component)
        copy_files(place_labels({case: file}, folder, source.labeled.file_ending))
        foreground, lost = np.count_nonzero(label_map), np.count_nonzero(label_map != kept)
        if foreground == 0:
            empty.append(case)
        elif lost > 0:
            removed[case] = lost / foreground
            rewrite_label_map(folder / (case + source.labeled.file_ending), kept)
    return empty, removed
