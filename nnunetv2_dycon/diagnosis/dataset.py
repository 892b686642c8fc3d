"""Diagnosis of a dataset that is to be trained: its plans, and its cases in nnUNet_raw and nnUNet_preprocessed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from nnunetv2.paths import nnUNet_preprocessed

from nnunetv2_dycon.datasets.names import dataset_name_of, find_raw_dataset_folder, preprocessed_folder
from nnunetv2_dycon.datasets.planned_dataset import PlannedDataset, plans_there, read_planned_dataset
from nnunetv2_dycon.datasets.preprocessed_cases import check_fingerprint, preprocessed_cases
from nnunetv2_dycon.datasets.raw_dataset import find_off_limits_cases, unlabeled_cases_as_named
from nnunetv2_dycon.datasets.schemas import check_dataset_json
from nnunetv2_dycon.datasets.splits import SPLITS_FILE, off_limits_cases_of_all_folds
from nnunetv2_dycon.diagnosis.finding import Finding, problems_of
from nnunetv2_dycon.diagnosis.preprocessed_data import (
    checks_of_folds,
    diagnose_cases,
    diagnose_previous_stage,
    ready_unlabeled_cases,
)
from nnunetv2_dycon.diagnosis.raw_data import diagnose_raw_data
from nnunetv2_dycon.exceptions import UserError, listed
from nnunetv2_dycon.json_files import read_json, read_json_file
from nnunetv2_dycon.methods import all_methods
from nnunetv2_dycon.methods.method import Method
from nnunetv2_dycon.methods.settings_section import read_settings, refuse_settings_in_dataset_json
from nnunetv2_dycon.training.find_trainer import find_semi_supervised_trainer
from nnunetv2_dycon.training.start import label_space_of

# Of dataset.json: what planning takes over and a training goes by.
_KEYS_OF_DATA = ("file_ending", "channel_names", "modality", "labels", "regions_class_order", "dataset")


def diagnose_dataset(
    name_or_id: str, plans_identifier: str, configuration: str, trainer: str | None = None
) -> Iterator[Finding]:
    """Look at a dataset in nnUNet_raw and nnUNet_preprocessed. No label of an unlabeled case is opened.

    The settings of the trainer's method are checked; without a trainer, those of all methods of the package.
    """
    told = set()
    for finding in _findings(name_or_id, plans_identifier, configuration, trainer):
        # The two stages of a cascade can have the same one.
        if not (finding.is_problem and finding.text in told):
            yield finding
        told.add(finding.text)


def _findings(name_or_id: str, plans_identifier: str, configuration: str, trainer: str | None) -> Iterator[Finding]:
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
        dataset = read_planned_dataset(name_or_id, plans_identifier, configuration)
        dataset.configuration(configuration)
        yield Finding(f"{dataset.name} is planned: {dataset.plans_file.name} has {configuration}")
        yield from _inputs(dataset, configuration, methods)
        if trainer is not None:
            yield from problems_of(partial(_make_method, method, dataset) for method in methods)
        if raw_dataset_folder is not None:
            yield from _raw_data(dataset, configuration, raw_dataset_folder, trainer)
        yield from diagnose_cases(dataset, configuration)
        yield from diagnose_previous_stage(dataset, configuration)
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
    raw_dataset_folder = find_raw_dataset_folder(dataset.name)
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
    checks += checks_of_folds(dataset, configuration_name)
    yield from problems_of(checks)


def _make_method(method: type[Method[Any, Any]], dataset: PlannedDataset) -> None:
    """As a training does at its start, which a method may refuse for labels of some kind."""
    labels = dataset.plans_manager.get_label_manager(dataset.dataset_json)
    method(method.settings_class(), label_space_of(labels))


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
    labeled = set(preprocessed_cases(dataset.data_folder(configuration_name))).difference(off_limits)
    yield from diagnose_raw_data(
        folder,
        dataset.dataset_json,
        off_limits=off_limits,
        preprocessed=labeled | ready_unlabeled_cases(dataset.plans_manager, configuration, unlabeled),
        is_planned=True,
        trainer=trainer,
    )
