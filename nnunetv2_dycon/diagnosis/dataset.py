"""Diagnosis of a dataset: what is labeled and unlabeled, and what is not ready."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nnunetv2.paths import nnUNet_raw

from nnunetv2_dycon.diagnosis.finding import Finding
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.preprocessing.case_stamp import hash_plans, is_current
from nnunetv2_dycon.preprocessing.plans_files import PlannedDataset, dataset_name_of, read_planned_dataset
from nnunetv2_dycon.preprocessing.prepare_unlabeled_data import unlabeled_data_folder
from nnunetv2_dycon.preprocessing.unlabeled_cases import find_off_limits_cases, find_unlabeled_cases, labeled_images
from nnunetv2_dycon.training.dataloading.splits import off_limits_cases_of_all_folds

_FOLDS_OF_NNUNET = 5


def diagnose_dataset(name_or_id: str, plans_identifier: str, configuration: str) -> Iterator[Finding]:
    """Look at a dataset in nnUNet_raw and nnUNet_preprocessed. Nothing is written and no label is opened.

    Args:
        name_or_id: e.g. ``501``.
        plans_identifier: e.g. ``nnUNetPlans``.
        configuration: e.g. ``3d_fullres``.

    Yields:
        The findings, one at a time, as they are made.
    """
    try:
        name = dataset_name_of(name_or_id)
        dataset = read_planned_dataset(name, plans_identifier)
        dataset.configuration(configuration)
    except UserError as error:
        yield Finding(str(error), is_problem=True)
        return
    yield Finding(f"{name} is planned: {dataset.plans_file.name} has {configuration}")
    try:
        yield from _cases(dataset, name, configuration)
    except UserError as error:
        yield Finding(str(error), is_problem=True)


def _cases(dataset: PlannedDataset, name: str, configuration_name: str) -> Iterator[Finding]:
    configuration = dataset.configuration(configuration_name)
    raw_dataset_folder = Path(nnUNet_raw) / name if nnUNet_raw.is_set() else None
    if raw_dataset_folder is None or not raw_dataset_folder.is_dir():
        yield Finding(f"the raw data of {name} are not here: only what is preprocessed can be used")
        return
    off_limits = off_limits_cases_of_all_folds(dataset.folder / "splits_final.json")
    with_label = set(labeled_images(raw_dataset_folder, dataset.dataset_json))
    unlabeled = find_unlabeled_cases(raw_dataset_folder, dataset.dataset_json["file_ending"])
    both = sorted(with_label & {case.identifier for case in unlabeled})
    unlabeled += find_off_limits_cases(raw_dataset_folder, dataset.dataset_json, off_limits)
    labeled = with_label - set(off_limits)
    yield Finding(f"{len(labeled)} labeled and {len(unlabeled)} unlabeled cases")
    if not unlabeled:
        yield Finding(f"there are no scans in {raw_dataset_folder}/imagesUnlabeled: put some there", is_problem=True)
    if both:
        yield Finding(f"{', '.join(both)}: in imagesTr and in imagesUnlabeled; remove one of the two", is_problem=True)
    if len(labeled) < _FOLDS_OF_NNUNET and not (dataset.folder / "splits_final.json").is_file():
        yield Finding(f"nnU-Net makes its folds from {_FOLDS_OF_NNUNET} labeled cases on: train fold all")
    if not (dataset.folder / configuration.data_identifier).is_dir():
        yield Finding(
            f"labeled cases are not preprocessed: nnUNetv2_preprocess -d {int(name[7:10])} -c {configuration_name}",
            is_problem=True,
        )
    folder = unlabeled_data_folder(name, configuration)
    plans_hash = hash_plans(dataset.plans_manager, configuration)
    ready = sum(is_current(folder, case, plans_hash, note_times=False) for case in unlabeled)
    later = "" if ready == len(unlabeled) else "; training will do the others at its start"
    yield Finding(f"{ready} of {len(unlabeled)} unlabeled cases are preprocessed{later}")
