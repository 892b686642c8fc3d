"""Diagnosis of the cases of a dataset that is planned: are they preprocessed, and does a training use all of them?"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path

from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from nnunetv2_dycon.datasets.names import find_raw_dataset_folder, results_folder
from nnunetv2_dycon.datasets.planned_dataset import PlannedDataset
from nnunetv2_dycon.datasets.preprocessed_cases import check_cases_of_fold, preprocessed_cases, preprocessing_command
from nnunetv2_dycon.datasets.raw_dataset import (
    UnlabeledCase,
    find_off_limits_cases,
    labeled_images,
    misnamed_unlabeled_folder,
    missing_labels,
    surplus_files,
    unlabeled_cases_as_named,
)
from nnunetv2_dycon.datasets.raw_file_names import UNLABELED_FOLDER_NAME
from nnunetv2_dycon.datasets.splits import NUMBER_OF_FOLDS, off_limits_cases_of_all_folds, read_splits
from nnunetv2_dycon.diagnosis.finding import Finding, problems_of
from nnunetv2_dycon.exceptions import listed
from nnunetv2_dycon.preprocessing.case_stamp import find_damage, hash_plans, is_current, read_stamp, stamped_cases
from nnunetv2_dycon.preprocessing.copies import describe_copies
from nnunetv2_dycon.preprocessing.prepare_unlabeled_data import (
    describe_missing_files,
    find_copies_in_dataset,
    identifiers_without_raw_data,
    unlabeled_data_folder,
)
from nnunetv2_dycon.self_training.record import is_pseudo_labeled
from nnunetv2_dycon.training.ignored_voxels import find_partly_labeled_cases


def checks_of_folds(dataset: PlannedDataset, configuration_name: str) -> list[Callable[[], object]]:
    """What a training of each fold would refuse of the labeled cases; none where nothing is preprocessed."""
    folder = dataset.data_folder(configuration_name)
    if not folder.is_dir():
        return []
    file_ending = dataset.dataset_json["file_ending"]
    command = preprocessing_command(dataset.name, configuration_name, dataset.plans_file.stem)
    folds: Sequence[int | str] = range(len(read_splits(dataset.splits_file))) or ("all",)
    return [partial(check_cases_of_fold, dataset.folder, folder, fold, file_ending, command) for fold in folds]


def diagnose_cases(dataset: PlannedDataset, configuration_name: str) -> Iterator[Finding]:
    """Look at what is preprocessed for a configuration, beside the raw data where these are here."""
    configuration = dataset.configuration(configuration_name)
    raw_dataset_folder = find_raw_dataset_folder(dataset.name)
    off_limits = off_limits_cases_of_all_folds(dataset.splits_file)
    if raw_dataset_folder is None:
        folder = unlabeled_data_folder(dataset.plans_manager, configuration)
        ready_cases = identifiers_without_raw_data(folder, hash_plans(dataset.plans_manager, configuration), off_limits)
        not_here = f"the raw data of {dataset.name} are not here"
        if ready_cases or dataset.has_ignore_label:
            yield Finding(f"{not_here}: only what is preprocessed can be used")
        else:
            # A dataset of self-training needs none, and its record is among the raw data.
            remedy = "copy what was preprocessed elsewhere, or set nnUNet_raw to where the raw data are"
            yield Finding(f"{not_here}, and no unlabeled case is preprocessed: {remedy}", is_to_do=True)
        return
    unlabeled = unlabeled_cases_as_named(raw_dataset_folder, dataset.dataset_json["file_ending"])
    unlabeled += find_off_limits_cases(raw_dataset_folder, dataset.dataset_json, off_limits)
    ready = ready_unlabeled_cases(dataset.plans_manager, configuration, unlabeled)
    labeled = labeled_images(raw_dataset_folder, dataset.dataset_json).keys() - set(off_limits)
    # A folder with another name is a finding of its own, and a dataset of self-training needs none.
    needs_none = is_pseudo_labeled(raw_dataset_folder) or misnamed_unlabeled_folder(raw_dataset_folder) is not None
    has_unlabeled = bool(unlabeled) or needs_none
    yield from _partly_annotated(dataset, configuration_name, labeled, has_unlabeled=has_unlabeled)
    data_folder = dataset.data_folder(configuration_name)
    preprocessed = set(preprocessed_cases(data_folder)).difference(off_limits)
    if len(preprocessed | labeled) < NUMBER_OF_FOLDS and not dataset.splits_file.is_file():
        yield Finding(f"nnU-Net makes its folds from {NUMBER_OF_FOLDS} labeled cases on: train fold all")
    if not data_folder.is_dir():
        command = preprocessing_command(dataset.name, configuration_name, dataset.plans_file.stem)
        yield Finding(f"labeled cases are not preprocessed: {command}", is_to_do=True)
    else:
        yield from _labeled_cases_left_out(dataset, configuration_name, labeled)
        moved = {case.identifier for case in unlabeled}
        yield from _cases_without_raw_files(dataset, raw_dataset_folder, preprocessed - moved)
        yield from _labeled_and_unlabeled(data_folder, preprocessed - labeled, unlabeled)
    yield from _preprocessed_cases(dataset, configuration, unlabeled, ready)


def _labeled_cases_left_out(
    dataset: PlannedDataset, configuration_name: str, labeled: Collection[str]
) -> Iterator[Finding]:
    """Findings on labeled cases that no training learns from and that nothing else tells of."""
    folder = dataset.data_folder(configuration_name)
    in_folds = {case for split in read_splits(dataset.splits_file) for key in ("train", "val") for case in split[key]}
    preprocessed = set(preprocessed_cases(folder))
    if not preprocessed:  # which is a finding of its own
        return
    missing = set(labeled) - preprocessed
    if to_preprocess := sorted(missing - in_folds):
        command = preprocessing_command(dataset.name, configuration_name, dataset.plans_file.stem)
        text = f"{listed(to_preprocess)}: labeled, but not preprocessed, so that no training uses"
        yield Finding(f"{text} {'it' if len(to_preprocess) == 1 else 'them'}: {command}", is_problem=True)
    if in_folds and (in_no_fold := sorted(set(labeled) - in_folds - missing)):
        text = f"{listed(in_no_fold)}: labeled, but in no fold of {dataset.splits_file}"
        yield Finding(f"{text}, whose trainings leave {'it' if len(in_no_fold) == 1 else 'them'} out", is_note=True)


def _cases_without_raw_files(
    dataset: PlannedDataset, raw_dataset_folder: Path, preprocessed: Collection[str]
) -> Iterator[Finding]:
    """A note on labeled cases that are preprocessed and cannot be preprocessed again.

    nnUNetv2_preprocess, which is the remedy of much, removes all that was preprocessed before.
    """
    images = labeled_images(raw_dataset_folder, dataset.dataset_json)
    whole = {case for case, files in images.items() if all(file.is_file() for file in files)}
    if gone := sorted(set(preprocessed) - (whole - missing_labels(raw_dataset_folder, dataset.dataset_json).keys())):
        text = f"{listed(gone)}: preprocessed, but an image or the label is not in {raw_dataset_folder} any more"
        what = "what is preprocessed of it" if len(gone) == 1 else "what is preprocessed of them"
        yield Finding(
            f"{text}. Trainings do not need it. But nnUNetv2_preprocess would remove {what}: put the files back before "
            "you run that",
            is_note=True,
        )


def _labeled_and_unlabeled(
    folder: Path, preprocessed: Collection[str], unlabeled: Sequence[UnlabeledCase]
) -> Iterator[Finding]:
    """Unlabeled scans that were labeled cases when these were preprocessed, which a training refuses."""
    names = {case.identifier for case in unlabeled if case.source == UNLABELED_FOLDER_NAME}
    if both := sorted(names.intersection(preprocessed)):
        them = "it" if len(both) == 1 else "them"
        text = f"{listed(both)}: in {UNLABELED_FOLDER_NAME} and, with a label, in {folder}"
        yield Finding(f"{text}; remove the files of {them} from one of the two", is_problem=True)


def _partly_annotated(
    dataset: PlannedDataset, configuration_name: str, labeled: Collection[str], *, has_unlabeled: bool
) -> Iterator[Finding]:
    """How many labeled cases have ignored voxels, where there is an ignore label and they are preprocessed."""
    folder = dataset.data_folder(configuration_name)
    cases = sorted(set(labeled).intersection(preprocessed_cases(folder)))
    ignore_label = dataset.plans_manager.get_label_manager(dataset.dataset_json).ignore_label
    if ignore_label is None or not cases:
        return
    try:
        partly = find_partly_labeled_cases(infer_dataset_class(str(folder))(str(folder), cases), ignore_label)
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        command = preprocessing_command(dataset.name, configuration_name, dataset.plans_file.stem)
        yield Finding(f"a segmentation in {folder} cannot be read ({error}): run {command}", is_problem=True)
        return
    if not partly and not has_unlabeled:
        text = f"none of the {len(cases)} preprocessed labeled cases has the ignore label"
        yield Finding(
            f"{text}, and there are no unlabeled scans: put some into {UNLABELED_FOLDER_NAME}", is_problem=True
        )
        return
    yield Finding(
        f"{len(partly)} of {len(cases)} preprocessed labeled cases are partly annotated: in training they join the "
        "unlabeled ones, as images without labels, unless ignored_voxels_as_unlabeled is false"
    )


def ready_unlabeled_cases(
    plans_manager: PlansManager, configuration: ConfigurationManager, unlabeled: Sequence[UnlabeledCase]
) -> set[str]:
    """The unlabeled cases that are preprocessed by these plans, as their files are now."""
    folder, plans_hash = unlabeled_data_folder(plans_manager, configuration), hash_plans(plans_manager, configuration)
    return {case.identifier for case in unlabeled if is_current(folder, case, plans_hash, note_times=False)}


def _preprocessed_cases(
    dataset: PlannedDataset,
    configuration: ConfigurationManager,
    unlabeled: Sequence[UnlabeledCase],
    ready: set[str],
) -> Iterator[Finding]:
    folder = unlabeled_data_folder(dataset.plans_manager, configuration)
    unusable = {case.identifier for case in unlabeled if surplus_files(case, dataset.dataset_json)}
    later = "" if len(unusable.union(ready)) == len(unlabeled) else "; the others are at the start of a training"
    yield Finding(f"{len(ready)} of {len(unlabeled)} unlabeled cases are preprocessed{later}")
    begun = {case.identifier for case in unlabeled}.intersection(stamped_cases(folder)) - ready
    for identifier in sorted(begun):
        if damage := find_damage(folder, identifier, read_stamp(folder, identifier)):
            yield Finding(f"{identifier} is not ready: in {folder}, {damage}")
    if missing := describe_missing_files(case for case in unlabeled if case.identifier in ready):
        yield Finding(missing)
    for line in describe_copies(find_copies_in_dataset(dataset.plans_manager, configuration, ready)):
        yield Finding(line, is_problem=True)


def diagnose_previous_stage(dataset: PlannedDataset, configuration_name: str) -> Iterator[Finding]:
    """Of a cascade, whether its first stage is ready for the second one."""
    previous = dataset.configuration(configuration_name).previous_stage_name
    if previous is None:
        return
    yield Finding(f"{configuration_name} is the second stage of a cascade; the first one is {previous}:")
    yield from problems_of(checks_of_folds(dataset, previous))
    yield from diagnose_cases(dataset, previous)
    suffix = f"__{dataset.plans_manager.plans_name}__{previous}"
    models = sorted((results_folder() / dataset.name).glob(f"*{suffix}/fold_*/checkpoint_final.pth"))
    names = [f"{model.parents[1].name.removesuffix(suffix)} {model.parent.name}" for model in models]
    trained = ", ".join(names) or f"none: train it on all folds before {configuration_name}"
    yield Finding(f"trained models of {previous}: {trained}", is_to_do=not names)
