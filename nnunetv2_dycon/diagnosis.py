"""Diagnosis of a dataset: what the doctor finds in nnUNet_raw and nnUNet_preprocessed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from nnunetv2_dycon.datasets.hidden_files import refuse_hidden_files
from nnunetv2_dycon.datasets.names import (
    dataset_name_of,
    find_raw_dataset_folder,
    preprocessed_folder,
    results_folder,
)
from nnunetv2_dycon.datasets.planned_dataset import PlannedDataset, read_planned_dataset
from nnunetv2_dycon.datasets.preprocessed_cases import (
    check_cases_of_fold,
    check_fingerprint,
    preprocessed_cases,
    preprocessing_command,
)
from nnunetv2_dycon.datasets.raw_dataset import (
    LABELED_FOLDER_NAME,
    UNLABELED_FOLDER_NAME,
    UnlabeledCase,
    files_per_case,
    find_off_limits_cases,
    find_unlabeled_cases,
    labeled_images,
    misnamed_unlabeled_folder,
    missing_labels,
    surplus_files,
)
from nnunetv2_dycon.datasets.schemas import check_dataset_json
from nnunetv2_dycon.datasets.splits import NUMBER_OF_FOLDS, off_limits_cases_of_all_folds, read_splits
from nnunetv2_dycon.exceptions import UserError, counted, listed
from nnunetv2_dycon.installation_diagnosis import Finding
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
from nnunetv2_dycon.self_training.pseudo_labeled_dataset import RECORD
from nnunetv2_dycon.training.find_trainer import find_semi_supervised_trainer
from nnunetv2_dycon.training.ignored_voxels import find_partly_labeled_cases


def diagnose_dataset(
    name_or_id: str, plans_identifier: str, configuration: str, trainer: str | None = None
) -> Iterator[Finding]:
    """Look at a dataset in nnUNet_raw and nnUNet_preprocessed. No label of an unlabeled case is opened.

    The settings of the trainer's method are checked; without a trainer, those of all methods of the package.
    """
    try:
        methods = all_methods() if trainer is None else [find_semi_supervised_trainer(trainer).method_class]
        yield from _not_planned_yet(name_or_id, plans_identifier)
        dataset = read_planned_dataset(name_or_id, plans_identifier)
        dataset.configuration(configuration)
        yield Finding(f"{dataset.name} is planned: {dataset.plans_file.name} has {configuration}")
        yield from _inputs(dataset, configuration, methods)
        yield from _cases(dataset, configuration, trainer)
        yield from _previous_stage(dataset, configuration)
    except UserError as error:
        yield Finding(str(error), is_problem=True)


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
        checks.append(partial(_check_raw_dataset_json, raw_dataset_folder / "dataset.json"))
        checks.append(partial(refuse_hidden_files, raw_dataset_folder / LABELED_FOLDER_NAME, file_ending))
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
    seen = set()
    for check in checks:
        try:
            check()
        except UserError as error:
            if str(error) not in seen:
                yield Finding(str(error), is_problem=True)
            seen.add(str(error))


def _dataset_jsons(dataset: PlannedDataset, raw_dataset_folder: Path | None) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The dataset.json that nnU-Net trains with, and the raw dataset's, which it was copied from, if it can be read."""
    yield dataset.folder / "dataset.json", dataset.dataset_json
    if raw_dataset_folder is not None:
        file = raw_dataset_folder / "dataset.json"
        with contextlib.suppress(UserError):  # which is a finding of its own
            yield file, read_json(file)


def _check_raw_dataset_json(file: Path) -> None:
    check_dataset_json(read_json_file(file), str(file))


def _cases(dataset: PlannedDataset, configuration_name: str, trainer: str | None = None) -> Iterator[Finding]:
    configuration = dataset.configuration(configuration_name)
    raw_dataset_folder = find_raw_dataset_folder(dataset.name)
    off_limits = off_limits_cases_of_all_folds(dataset.splits_file)
    if raw_dataset_folder is None:
        folder = unlabeled_data_folder(dataset.plans_manager, configuration)
        identifiers_without_raw_data(folder, hash_plans(dataset.plans_manager, configuration), off_limits)
        yield Finding(f"the raw data of {dataset.name} are not here: only what is preprocessed can be used")
        return
    images = labeled_images(raw_dataset_folder, dataset.dataset_json)
    with_label = set(images)
    unlabeled = find_unlabeled_cases(raw_dataset_folder, dataset.dataset_json["file_ending"])
    wrong = [
        *_cases_in_both(with_label, unlabeled),
        *_missing_channels(images, unlabeled, dataset.dataset_json),
    ]
    unlabeled += find_off_limits_cases(raw_dataset_folder, dataset.dataset_json, off_limits)
    labeled = with_label - set(off_limits)
    yield Finding(f"{len(labeled)} labeled and {len(unlabeled)} unlabeled cases")
    yield from _partly_annotated(dataset, configuration_name, labeled)
    misnamed = misnamed_unlabeled_folder(raw_dataset_folder)
    if not unlabeled:
        place = raw_dataset_folder / UNLABELED_FOLDER_NAME
        if (raw_dataset_folder / RECORD).is_file():
            made = "the dataset was made by self-training, so all its scans have labels"
            if trainer is None:
                yield Finding(f"{made}: train it as self-train does, with a trainer of nnU-Net")
            else:
                yield Finding(f"{made}, and {trainer} needs unlabeled ones: train nnUNetTrainer", is_problem=True)
        elif dataset.has_ignore_label:
            yield Finding(
                f"there are no scans in {place}: a training looks at its start for training cases with the ignore "
                "label, whose ignored voxels are unlabeled data, and needs at least one"
            )
        else:
            remedy = misnamed or "Put some there."
            yield Finding(f"there are no scans in {place}. {remedy}", is_problem=True)
            misnamed = None
    if misnamed:
        yield Finding(f"there is no {raw_dataset_folder / UNLABELED_FOLDER_NAME}. {misnamed}", is_problem=True)
    yield from wrong
    if len(labeled) < NUMBER_OF_FOLDS and not dataset.splits_file.is_file():
        yield Finding(f"nnU-Net makes its folds from {NUMBER_OF_FOLDS} labeled cases on: train fold all")
    if not (dataset.folder / configuration.data_identifier).is_dir():
        command = preprocessing_command(dataset.name, configuration_name, dataset.plans_file.stem)
        yield Finding(f"labeled cases are not preprocessed: {command}", is_problem=True)
    yield from _preprocessed_cases(dataset, configuration, unlabeled)


def _not_planned_yet(name_or_id: str, plans_identifier: str) -> Iterator[Finding]:
    """The cases of a raw dataset that has no plans, whose lack is a finding of its own."""
    raw_dataset_folder = find_raw_dataset_folder(dataset_name_of(name_or_id))
    if (
        raw_dataset_folder is None
        or (preprocessed_folder() / raw_dataset_folder.name / f"{plans_identifier}.json").exists()
    ):
        return
    dataset_json = read_json_file(raw_dataset_folder / "dataset.json")
    check_dataset_json(dataset_json, str(raw_dataset_folder / "dataset.json"))
    labeled = labeled_images(raw_dataset_folder, dataset_json)
    unlabeled = find_unlabeled_cases(raw_dataset_folder, dataset_json["file_ending"])
    yield Finding(f"{raw_dataset_folder}: {len(labeled)} labeled and {len(unlabeled)} unlabeled cases")
    if misnamed := misnamed_unlabeled_folder(raw_dataset_folder):
        yield Finding(f"there is no {raw_dataset_folder / UNLABELED_FOLDER_NAME}. {misnamed}", is_problem=True)
    yield from _cases_in_both(labeled, unlabeled)
    yield from _missing_channels(labeled, unlabeled, dataset_json)
    for case in unlabeled:
        if text := surplus_files(case, dataset_json):
            yield Finding(f"the unlabeled case {case.identifier} cannot be used: {text}", is_problem=True)
    try:
        refuse_hidden_files(raw_dataset_folder / LABELED_FOLDER_NAME, dataset_json["file_ending"])
    except UserError as error:
        yield Finding(str(error), is_problem=True)
    for file in missing_labels(raw_dataset_folder, dataset_json):
        yield Finding(f"{file} is not there: add it, or remove the images of its case", is_problem=True)
    if (number := dataset_json.get("numTraining", len(labeled))) != len(labeled):
        text = f"dataset.json has numTraining {number}, and {raw_dataset_folder} {len(labeled)}"
        yield Finding(f"{text} labeled cases: correct the one that is wrong", is_problem=True)


def _cases_in_both(labeled: Collection[str], unlabeled: Sequence[UnlabeledCase]) -> Iterator[Finding]:
    """A finding that names the labeled cases which are among the unlabeled ones, if there are any."""
    if both := sorted({case.identifier for case in unlabeled}.intersection(labeled)):
        places = f"in {LABELED_FOLDER_NAME} and in {UNLABELED_FOLDER_NAME}"
        yield Finding(f"{', '.join(both)}: {places}; remove one of the two", is_problem=True)


def _missing_channels(
    labeled: Mapping[str, Sequence[Path]], unlabeled: Sequence[UnlabeledCase], dataset_json: Mapping[str, Any]
) -> Iterator[Finding]:
    """Findings that name the cases of either kind with fewer files than a case must have, if there are any."""
    files = files_per_case(labeled.values(), dataset_json)
    of_folder = {
        LABELED_FOLDER_NAME: {name for name, images in labeled.items() if len(images) < files},
        UNLABELED_FOLDER_NAME: {case.identifier for case in unlabeled if len(case.images) < files},
    }
    for folder, cases in of_folder.items():
        if cases:
            text = f"{folder}: {listed(sorted(cases))} with fewer than {counted(files, 'channel')}"
            yield Finding(f"{text}: add the missing files, or remove these cases", is_problem=True)


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


def _preprocessed_cases(
    dataset: PlannedDataset, configuration: ConfigurationManager, unlabeled: Sequence[UnlabeledCase]
) -> Iterator[Finding]:
    folder = unlabeled_data_folder(dataset.plans_manager, configuration)
    plans_hash = hash_plans(dataset.plans_manager, configuration)
    ready = {case.identifier for case in unlabeled if is_current(folder, case, plans_hash, note_times=False)}
    surplus = {case.identifier: surplus_files(case, dataset.dataset_json) for case in unlabeled}
    unusable = {case: text for case, text in surplus.items() if text is not None}
    later = "" if len(ready.union(unusable)) == len(unlabeled) else "; the others are at the start of a training"
    yield Finding(f"{len(ready)} of {len(unlabeled)} unlabeled cases are preprocessed{later}")
    for identifier, text in sorted(unusable.items()):
        yield Finding(f"the unlabeled case {identifier} cannot be used: {text}", is_problem=True)
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
