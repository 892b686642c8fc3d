"""Making the unlabeled data of a training ready."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from nnunetv2_dycon.datasets.names import find_raw_dataset_folder, preprocessed_folder
from nnunetv2_dycon.datasets.preprocessed_cases import preprocessed_cases
from nnunetv2_dycon.datasets.raw_dataset import (
    UnlabeledCase,
    find_off_limits_cases,
    find_unlabeled_cases,
    labeled_images,
    misnamed_unlabeled_folder,
)
from nnunetv2_dycon.datasets.raw_file_names import LABELED_FOLDER_NAME, UNLABELED_FOLDER_NAME
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.preprocessing.case_stamp import find_damage, hash_plans, read_stamp, stamped_cases
from nnunetv2_dycon.preprocessing.copies import Copies, describe_copies, find_copies
from nnunetv2_dycon.preprocessing.flat_layout import take_over_flat_layout
from nnunetv2_dycon.preprocessing.unlabeled_preprocessor import preprocess_unlabeled_cases


@dataclass(frozen=True)
class UnlabeledData:
    """A folder of preprocessed unlabeled cases, and those to use, sorted.

    Beside them, a training may use cases of nnU-Net's labeled folder that have ignored voxels, without their labels.
    """

    folder: Path
    identifiers: list[str]
    partly_labeled: list[str] = field(default_factory=list)


def unlabeled_data_folder(plans_manager: PlansManager, configuration_manager: ConfigurationManager) -> Path:
    """``nnUNet_preprocessed/DatasetXXX_NAME/<data_identifier>_unlabeled/<hash>``.

    The hash is the start of hash_plans: plans of one data identifier may preprocess differently, at the same time.
    """
    plans_hash = hash_plans(plans_manager, configuration_manager)
    name = f"{configuration_manager.data_identifier}_unlabeled"
    return preprocessed_folder() / plans_manager.dataset_name / name / plans_hash[:8]


def prepare_unlabeled_data(
    plans_manager: PlansManager,
    configuration_manager: ConfigurationManager,
    dataset_json: dict[str, Any],
    off_limits: Iterable[str],
    num_processes: int,
    report: Callable[[str], None] = print,
    validation: Collection[str] | None = None,
    *,
    may_be_none: bool = False,
    looked_for_ignored_voxels: bool = False,
) -> UnlabeledData:
    """Preprocess what is not ready and say which unlabeled cases a training uses: at least one, unless it may be none.

    Where the raw dataset is there, it decides: all scans of ``imagesUnlabeled`` and the off-limits cases. Where it is
    not (a machine that holds preprocessed data only), everything that was preprocessed from these plans is used.

    Cases of ``imagesTr`` that are off limits (``"unlabeled"`` of splits_final.json) are used without their labels.

    Scans that are there twice, and raw files that are gone since they were preprocessed, are warned of.

    Args:
        plans_manager: nnU-Net's view of the plans.
        configuration_manager: and of the configuration.
        dataset_json: contents of dataset.json.
        off_limits: see above.
        num_processes: how many cases are preprocessed at once.
        report: takes a line for the user.
        validation: the labeled cases that the fold validates on; None where no fold is meant.
        may_be_none: whether a training can do without unlabeled cases.
        looked_for_ignored_voxels: whether ignored voxels of training cases, which were looked for, would be unlabeled
            data too; for the message.

    Raises:
        UserError: when there are no unlabeled cases, when a case is both labeled and unlabeled, when a scan cannot be
            used or the folder not be written to, and when something has to be preprocessed but the raw data are not
            there.
    """
    dataset_name = plans_manager.dataset_name
    folder = unlabeled_data_folder(plans_manager, configuration_manager)
    plans_hash = hash_plans(plans_manager, configuration_manager)
    off_limits = sorted(set(off_limits))
    raw_dataset_folder = find_raw_dataset_folder(dataset_name)
    preprocessed_with_label = _preprocessed_labeled_cases(dataset_name, configuration_manager)
    if raw_dataset_folder is not None:
        cases = find_unlabeled_cases(raw_dataset_folder, dataset_json["file_ending"])
        identifiers = [case.identifier for case in cases]
        labeled = labeled_images(raw_dataset_folder, dataset_json)
        _refuse_labeled(identifiers, labeled, raw_dataset_folder / LABELED_FOLDER_NAME)
        _refuse_labeled(identifiers, *preprocessed_with_label)
        cases += find_off_limits_cases(raw_dataset_folder, dataset_json, off_limits)
        identifiers = sorted(case.identifier for case in cases)
        _take_over_flat_layout(folder, plans_hash, report)
        managers = (plans_manager, configuration_manager)
        if done := preprocess_unlabeled_cases(cases, folder, *managers, dataset_json, num_processes):
            report(f"Preprocessed {done} unlabeled cases into {folder}.")
        if missing := describe_missing_files(cases):
            report(f"WARNING: {missing}")
        place, hint = str(raw_dataset_folder / UNLABELED_FOLDER_NAME), misnamed_unlabeled_folder(raw_dataset_folder)
        if hint and (identifiers or may_be_none):
            report(f"WARNING: there is no {place}. {hint}")
    else:
        _take_over_flat_layout(folder, plans_hash, report)
        identifiers = identifiers_without_raw_data(folder, plans_hash, off_limits)
        _refuse_labeled(set(identifiers) - set(off_limits), *preprocessed_with_label)
        place, hint = f"{folder} (there are no raw data of {dataset_name} here)", None
    if not identifiers and not may_be_none:
        no_ignored = ", and no training case has voxels with the ignore label" if looked_for_ignored_voxels else ""
        put = (
            f"Put scans named like those of {LABELED_FOLDER_NAME} (CASE_0000{dataset_json['file_ending']}) into "
            f'nnUNet_raw/{dataset_name}/{UNLABELED_FOLDER_NAME}, or name cases under "unlabeled" in '
            "splits_final.json."
        )
        raise UserError(
            f"{dataset_name} has no unlabeled scans: {place} is empty or not there{no_ignored}. {hint or put}"
        )
    data = UnlabeledData(folder, identifiers)
    for line in describe_copies(find_copies_in_dataset(plans_manager, configuration_manager, identifiers), validation):
        report(f"WARNING: {line}")
    return data


def find_copies_in_dataset(
    plans_manager: PlansManager, configuration_manager: ConfigurationManager, identifiers: Collection[str]
) -> Copies:
    """The unlabeled scans that are there twice, or also among nnU-Net's preprocessed labeled cases. See find_copies."""
    folder = unlabeled_data_folder(plans_manager, configuration_manager)
    labeled, labeled_folder = _preprocessed_labeled_cases(plans_manager.dataset_name, configuration_manager)
    # Cases that are off limits are among both, and are no copies of themselves.
    return find_copies(folder, identifiers, labeled_folder, set(labeled) - set(identifiers))


def describe_missing_files(cases: Iterable[UnlabeledCase]) -> str | None:
    """A sentence on raw scans that are not there any more, as a link may lose its target; None if all are."""
    missing = [str(file) for case in cases for file in case.images if not file.exists()]
    if not missing:
        return None
    more = f" and {len(missing) - 1} more raw files are" if len(missing) > 1 else " is"
    return f"{missing[0]}{more} not there any more: what was preprocessed before is used."


def _take_over_flat_layout(folder: Path, plans_hash: str, report: Callable[[str], None]) -> None:
    is_new = not folder.is_dir()
    taken = take_over_flat_layout(folder, plans_hash)
    others = len(stamped_cases(folder.parent)) - len(taken) if is_new else 0
    if taken or others:
        report(
            f"An earlier version preprocessed cases into {folder.parent}: {len(taken)} are taken over, {others} are of "
            "other plans or damaged. The files there, outside its folders, are for that version only."
        )


def _preprocessed_labeled_cases(
    dataset_name: str, configuration_manager: ConfigurationManager
) -> tuple[list[str], Path]:
    """The cases that nnU-Net has preprocessed with their labels, and where they lie."""
    folder = preprocessed_folder() / dataset_name / configuration_manager.data_identifier
    return preprocessed_cases(folder), folder


def _refuse_labeled(unlabeled: Iterable[str], labeled: Iterable[str], folder: Path) -> None:
    if both := sorted(set(unlabeled) & set(labeled)):
        raise UserError(
            f"{', '.join(both)}: in {UNLABELED_FOLDER_NAME} and, with a label, in {folder}. A scan is either "
            "labeled (for training or validation) or unlabeled: remove it from one of the two folders."
        )


def identifiers_without_raw_data(folder: Path, plans_hash: str, off_limits: list[str]) -> list[str]:
    """The cases to use where the raw data are not there: those off limits, and all of imagesUnlabeled; sorted.

    Raises:
        UserError: when one of them is not preprocessed, not whole, or preprocessed from other plans.
    """
    stamps = {case: read_stamp(folder, case) for case in stamped_cases(folder)}
    identifiers = [i for i, stamp in stamps.items() if stamp is None or stamp.source == UNLABELED_FOLDER_NAME]
    wanted = sorted({*identifiers, *off_limits})
    set_raw = (
        'the raw data are not here. Set nnUNet_raw to where they are, or run "nnunetv2_dycon preprocess" on the '
        "machine that has them and copy the folder."
    )
    missing = [i for i in off_limits if i not in stamps]
    # Cases of other plans are in the folders beside and, of earlier versions, in the one above.
    others = (folder.parent, *filter(Path.is_dir, folder.parent.glob("*")))
    outdated = set() if stamps else {case for other in others for case in stamped_cases(other)}
    if missing or outdated:
        raise UserError(
            f"{folder}: {len(missing)} unlabeled cases are not preprocessed and {len(outdated)} were preprocessed from "
            f"other plans, and {set_raw}"
        )
    for identifier in wanted:
        stamp = stamps[identifier]
        if damage := find_damage(folder, identifier, stamp):
            raise UserError(f"{folder}: case {identifier} is not whole ({damage}), and {set_raw}")
        if stamp is not None and stamp.plans != plans_hash:
            raise UserError(f"{folder}: case {identifier} was preprocessed from other plans, and {set_raw}")
    return wanted
