"""Diagnosis of a dataset that is to be trained: its plans, and its cases in nnUNet_raw and nnUNet_preprocessed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from nnunetv2.paths import nnUNet_preprocessed
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from nnunetv2_dycon.datasets.names import (
    dataset_name_of,
    find_raw_dataset_folder,
    preprocessed_folder,
    results_folder,
)
from nnunetv2_dycon.datasets.planned_dataset import PlannedDataset, plans_there, read_planned_dataset
from nnunetv2_dycon.datasets.preprocessed_cases import (
    check_cases_of_fold,
    check_fingerprint,
    preprocessed_cases,
    preprocessing_command,
)
from nnunetv2_dycon.datasets.raw_dataset import (
    UnlabeledCase,
    find_off_limits_cases,
    labeled_images,
    surplus_files,
    unlabeled_cases_as_named,
)
from nnunetv2_dycon.datasets.schemas import check_dataset_json
from nnunetv2_dycon.datasets.splits import NUMBER_OF_FOLDS, SPLITS_FILE, off_limits_cases_of_all_folds, read_splits
from nnunetv2_dycon.diagnosis.finding import Finding, problems_of
from nnunetv2_dycon.diagnosis.raw_data import diagnose_raw_data
from nnunetv2_dycon.exceptions import UserError, listed
from nnunetv2_dycon.json_files import read_json, read_json_file
from nnunetv2_dycon.methods import all_methods
from nnunetv2_dycon.methods.method import Method
from nnunetv2_dycon.methods.settings_section import read_settings, refuse_settings_in_dataset_json
from nnunetv2_dycon.preprocessing.case_stamp import find_damage, hash_plans, is_current, read_stamp, stamped_cases
from nnunetv2_dycon.preprocessing.copies import describe_copies
from nnunetv2_dycon.preprocessing.prepare_unlabeled_data import (
    describe_missing_files,
    find_copies_in_dataset,
    identifiers_without_raw_data,
    unlabeled_data_folder,
)
from nnunetv2_dycon.training.find_trainer import find_semi_supervised_trainer
from nnunetv2_dycon.training.ignored_voxels import find_partly_labeled_cases

# Of dataset.json: what planning takes over and a training goes by.
_KEYS_OF_DATA = ("file_ending", "channel_names", "modality", "labels", "regions_class_order", "dataset")


def diagnose_dataset(
    name_or_id: str, plans_identifier: str, configuration: str, trainer: str | None = None
) -> Iterator[Finding]:
    """Look at a dataset in nnUNet_raw and nnUNet_preprocessed. No label of an unlabeled case is opened.

    The settings of the trainer's method are checked; without a trainer, those of all methods of the package.
    """
    is_to_do = False
    try:
        methods = all_methods() if trainer is None else [find_semi_supervised_trainer(trainer).method_class]
        raw_dataset_folder = find_raw_dataset_folder(dataset_name_of(name_or_id))
        if raw_dataset_folder is not None and not _has_plans(raw_dataset_folder.name, plans_identifier):
            dataset_json = read_json_file(raw_dataset_folder / "dataset.json")
            check_dataset_json(dataset_json, str(raw_dataset_folder / "dataset.json"))
            off_limits = _off_limits_cases(raw_dataset_folder.name)
            yield from diagnose_raw_data(raw_dataset_folder, dataset_json, off_limits=off_limits, trainer=trainer)
            # Other plans may be meant. Without any, and with a folder for them, planning is what comes next.
            is_to_do = nnUNet_preprocessed.is_set() and not plans_there(raw_dataset_folder.name)
        dataset = read_planned_dataset(name_or_id, plans_identifier)
        dataset.configuration(configuration)
        yield Finding(f"{dataset.name} is planned: {dataset.plans_file.name} has {configuration}")
        yield from _inputs(dataset, configuration, methods)
        if raw_dataset_folder is not None:
            yield from _raw_data(dataset, configuration, raw_dataset_folder, trainer)
        yield from _cases(dataset, configuration)
        yield from _previous_stage(dataset, configuration)
    except UserError as error:
        yield Finding(str(error), is_problem=not is_to_do, is_to_do=is_to_do)


def _has_plans(name: str, plans_identifier: str) -> bool:
    return bool(nnUNet_preprocessed.get()) and (preprocessed_folder() / name / f"{plans_identifier}.json").exists()


def _off_limits_cases(name: str) -> list[str]:
    if not nnUNet_preprocessed.get():
        return []
    return off_limits_cases_of_all_folds(preprocessed_folder() / name / SPLITS_FILE)


def _inputs(
    dataset: PlannedDataset, configuration_name: str, methods: Sequence[type[Method[Any, Any]]]
) -> Iterator[Finding]:
    """What a training would refuse at its start, and what nnU-Net would fail on when it plans."""
    configuration, plans, plans_file = dataset.configuration(configuration_name), dataset.plans, dataset.plans_file
    checks: list[Callable[[], object]] = [
        partial(read_settings, plans, configuration_name, configuration.configuration, method, plans_file.name)
        for method in methods
    ]
    if plans["plans_name"] != plans_file.stem:
        remedy = f'results would lie in the folder of other plans. Write "{plans_file.stem}" there'
        yield Finding(f'{plans_file} has the plans_name "{plans["plans_name"]}": {remedy}', is_problem=True)
    raw_dataset_folder, file_ending = find_raw_dataset_folder(dataset.name), dataset.dataset_json["file_ending"]
    if raw_dataset_folder is not None:
        checks.append(partial(_check_raw_dataset_json, raw_dataset_folder / "dataset.json", dataset))
    for file, content in _dataset_jsons(dataset, raw_dataset_folder):
        checks += [
            partial(
                refuse_settings_in_dataset_json,
                content,
                str(file),
                plans_file.name,
                configuration_name,
                method.settings_section,
                method.settings_class,
            )
            for method in methods
        ]
    checks.append(partial(check_fingerprint, dataset.folder))
    folder = dataset.folder / configuration.data_identifier
    if folder.is_dir():
        command = preprocessing_command(dataset.name, configuration_name, plans_file.stem)
        for fold in range(len(read_splits(dataset.splits_file))) or ("all",):
            checks.append(partial(check_cases_of_fold, dataset.folder, folder, fold, file_ending, command))
    yield from problems_of(checks)


def _dataset_jsons(dataset: PlannedDataset, raw_dataset_folder: Path | None) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The dataset.json that nnU-Net trains with, and the raw dataset's, which it was copied from, if it can be read."""
    yield dataset.folder / "dataset.json", dataset.dataset_json
    if raw_dataset_folder is not None:
        file = raw_dataset_folder / "dataset.json"
        with contextlib.suppress(UserError):  # which is a finding of its own
            yield file, read_json(file)


def _check_raw_dataset_json(file: Path, dataset: PlannedDataset) -> None:
    content = read_json_file(file)
    check_dataset_json(content, str(file))
    if differing := [key for key in _KEYS_OF_DATA if content.get(key) != dataset.dataset_json.get(key)]:
        raise UserError(
            f"{file} and the copy in {dataset.folder} that trainings go by differ in {listed(differing)}: correct the "
            f"first one, or plan and preprocess anew, all plans that you use ({dataset.plans_file.stem} among them)."
        )


def _raw_data(dataset: PlannedDataset, configuration_name: str, folder: Path, trainer: str | None) -> Iterator[Finding]:
    configuration = dataset.configuration(configuration_name)
    off_limits = off_limits_cases_of_all_folds(dataset.splits_file)
    unlabeled = unlabeled_cases_as_named(folder, dataset.dataset_json["file_ending"])
    unlabeled += find_off_limits_cases(folder, dataset.dataset_json, off_limits)
    # Off-limits cases that nnU-Net preprocessed with their labels are preprocessed once more, without.
    labeled = set(preprocessed_cases(dataset.folder / configuration.data_identifier)).difference(off_limits)
    yield from diagnose_raw_data(
        folder,
        dataset.dataset_json,
        off_limits=off_limits,
        preprocessed=labeled | _ready_unlabeled_cases(dataset.plans_manager, configuration, unlabeled),
        is_planned=True,
        trainer=trainer,
    )


def _cases(dataset: PlannedDataset, configuration_name: str) -> Iterator[Finding]:
    configuration = dataset.configuration(configuration_name)
    raw_dataset_folder = find_raw_dataset_folder(dataset.name)
    off_limits = off_limits_cases_of_all_folds(dataset.splits_file)
    if raw_dataset_folder is None:
        folder = unlabeled_data_folder(dataset.plans_manager, configuration)
        identifiers_without_raw_data(folder, hash_plans(dataset.plans_manager, configuration), off_limits)
        yield Finding(f"the raw data of {dataset.name} are not here: only what is preprocessed can be used")
        return
    unlabeled = unlabeled_cases_as_named(raw_dataset_folder, dataset.dataset_json["file_ending"])
    unlabeled += find_off_limits_cases(raw_dataset_folder, dataset.dataset_json, off_limits)
    ready = _ready_unlabeled_cases(dataset.plans_manager, configuration, unlabeled)
    labeled = labeled_images(raw_dataset_folder, dataset.dataset_json).keys() - set(off_limits)
    yield from _partly_annotated(dataset, configuration_name, labeled)
    if len(labeled) < NUMBER_OF_FOLDS and not dataset.splits_file.is_file():
        yield Finding(f"nnU-Net makes its folds from {NUMBER_OF_FOLDS} labeled cases on: train fold all")
    if not (dataset.folder / configuration.data_identifier).is_dir():
        command = preprocessing_command(dataset.name, configuration_name, dataset.plans_file.stem)
        yield Finding(f"labeled cases are not preprocessed: {command}", is_to_do=True)
    else:
        yield from _labeled_cases_left_out(dataset, configuration_name, labeled)
    yield from _preprocessed_cases(dataset, configuration, unlabeled, ready)


def _labeled_cases_left_out(
    dataset: PlannedDataset, configuration_name: str, labeled: Collection[str]
) -> Iterator[Finding]:
    """Findings on labeled cases that no training learns from and that nothing else tells of."""
    folder = dataset.folder / dataset.configuration(configuration_name).data_identifier
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


def _partly_annotated(dataset: PlannedDataset, configuration_name: str, labeled: Collection[str]) -> Iterator[Finding]:
    """How many labeled cases have ignored voxels, where there is an ignore label and they are preprocessed."""
    folder = dataset.folder / dataset.configuration(configuration_name).data_identifier
    cases = sorted(set(labeled).intersection(preprocessed_cases(folder)))
    ignore_label = dataset.plans_manager.get_label_manager(dataset.dataset_json).ignore_label
    if ignore_label is None or not cases:
        return
    try:
        partly = find_partly_labeled_cases(infer_dataset_class(str(folder))(str(folder), cases), ignore_label)
    except (OSError, RuntimeError, ValueError) as error:
        command = preprocessing_command(dataset.name, configuration_name, dataset.plans_file.stem)
        yield Finding(f"a segmentation in {folder} cannot be read ({error}): run {command}", is_problem=True)
        return
    yield Finding(
        f"{len(partly)} of {len(cases)} preprocessed labeled cases are partly annotated: in training they join the "
        "unlabeled ones, as images without labels, unless ignored_voxels_as_unlabeled is false"
    )


def _ready_unlabeled_cases(
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


def _previous_stage(dataset: PlannedDataset, configuration_name: str) -> Iterator[Finding]:
    """Of a cascade, whether its first stage is ready for the second one."""
    previous = dataset.configuration(configuration_name).previous_stage_name
    if previous is None:
        return
    yield Finding(f"{configuration_name} is the second stage of a cascade; the first one is {previous}:")
    yield from _cases(dataset, previous)
    suffix = f"__{dataset.plans_manager.plans_name}__{previous}"
    models = sorted((results_folder() / dataset.name).glob(f"*{suffix}/fold_*/checkpoint_final.pth"))
    names = [f"{model.parents[1].name.removesuffix(suffix)} {model.parent.name}" for model in models]
    trained = ", ".join(names) or f"none: train it on all folds before {configuration_name}"
    yield Finding(f"trained models of {previous}: {trained}")
