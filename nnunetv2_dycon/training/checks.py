"""Checks of a trainer that nnU-Net has made, before hours of training; what it was made from, ``inputs.py`` checks."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from nnunetv2.configuration import default_num_processes
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_dycon.datasets.preprocessed_cases import check_preprocessed_folder, preprocessing_command
from nnunetv2_dycon.datasets.splits import UNLABELED_KEY, off_limits_cases, validation_only
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.json_files import mapping_of, read_json_file, record
from nnunetv2_dycon.methods.method import Method
from nnunetv2_dycon.training import distributed, labeled_predictions, previous_stage
from nnunetv2_dycon.training.ignored_voxels import settings_in_force
from nnunetv2_dycon.training.inputs import check_cases, check_start, preprocessing_command_of, splits_file_of
from nnunetv2_dycon.training.learnt_labels import place_of_cases, refuse_learnt_labels


def refuse_missing_device(device: torch.device) -> None:
    """Refuse a GPU that PyTorch does not find; nnUNetv2_train takes CUDA unless told otherwise.

    Raises:
        UserError: for CUDA and MPS where they are not there.
    """
    is_missing = {"cuda": not torch.cuda.is_available(), "mps": not torch.backends.mps.is_available()}
    if is_missing.get(device.type, False):
        raise UserError(
            f"PyTorch {torch.__version__} finds no {device.type} device on this machine: take -device cpu, or "
            f"install a PyTorch that has {device.type} and see that it finds the device."
        )


def refuse_what_is_not_supported(trainer: nnUNetTrainer) -> None:
    """Refuse a missing device, batches of fewer patches than processes, and labeled cases that are not preprocessed.

    Raises:
        UserError: for any of these.
    """
    refuse_missing_device(trainer.device)
    refuse_too_few_processes()
    distributed.refuse_fewer_patches_than_processes(
        {
            "batch_size": trainer.configuration_manager.batch_size,
            "unlabeled_batch_size": trainer.settings.unlabeled_batch_size,
        }
    )
    # The last validation of a cascade's first stage looks into the data of the second one.
    for stage in (trainer.configuration_name, *(trainer.configuration_manager.next_stage_names or ())):
        data_identifier = trainer.plans_manager.get_configuration(stage).data_identifier
        folder = Path(trainer.preprocessed_dataset_folder_base) / data_identifier
        if not folder.is_dir():
            plans = trainer.plans_manager
            command = preprocessing_command(plans.dataset_name, stage, plans.plans_name)
            raise UserError(f"{folder} is not there: the labeled cases are not preprocessed. Run {command}")
    # nnU-Net fails on other files without naming them.
    check_preprocessed_folder(Path(trainer.preprocessed_dataset_folder), preprocessing_command_of(trainer))


def check_before_training(trainer: nnUNetTrainer, method: Method[Any, Any], *, needs_unlabeled_data: bool) -> None:
    """Check what could stop a training later: cases, results that are there, and in a cascade the previous stage.

    Raises:
        UserError: see check_start, refuse_results_of_other_settings, refuse_missing_model, refuse_missing_predictions
            and refuse_learnt_predictions.
    """
    check_start(trainer)
    refuse_results_of_other_settings(trainer, method)
    if trainer.is_cascaded:
        previous_stage.refuse_missing_model(trainer, needs_unlabeled_data=needs_unlabeled_data)
        train, val = trainer.do_split()
        _check_labeled_predictions(trainer, {*train, *val})


def check_before_validation(trainer: nnUNetTrainer) -> None:
    """Check what the validation after training reads.

    Raises:
        UserError: see check_cases, refuse_learnt_validation_cases, refuse_missing_predictions and
            refuse_learnt_predictions.
    """
    check_cases(trainer)
    refuse_learnt_validation_cases(trainer)
    if trainer.is_cascaded:
        _check_labeled_predictions(trainer, set(trainer.do_split()[1]))


def _check_labeled_predictions(trainer: nnUNetTrainer, labeled: set[str]) -> None:
    labeled_predictions.refuse_missing_predictions(trainer, labeled)
    labeled_predictions.refuse_learnt_predictions(trainer, labeled)


def refuse_changed_folds(trainer: nnUNetTrainer) -> None:
    """Refuse to train on with a model that has learnt from labels which its fold holds back now.

    Further training cases are no harm.

    Raises:
        UserError: naming these cases.
    """
    refuse_learnt_validation_cases(trainer)
    refuse_learnt_labels(
        trainer.training_cases or (),
        off_limits_cases(splits_file_of(trainer), trainer.fold),
        where=f'{splits_file_of(trainer)}, "{UNLABELED_KEY}" of fold {trainer.fold},',
        model=trainer.output_folder,
        remedy="Put back the folds that it was trained with, or train anew, without --c.",
    )


def refuse_learnt_validation_cases(trainer: nnUNetTrainer) -> None:
    """Refuse to validate a model, or to train it on, where its fold's validation cases are among those it learnt from.

    Raises:
        UserError: naming these cases.
    """
    # Fold all validates on its training cases by design.
    if trainer.fold == "all":
        return
    train, val = trainer.do_split()
    where, remedy = place_of_cases(splits_file_of(trainer), trainer.fold, "val")
    refuse_learnt_labels(
        trainer.training_cases or (),
        validation_only(train, val),
        where=where,
        model=trainer.output_folder,
        remedy=f"{remedy}, or train anew, without --c and --val.",
    )


def refuse_results_of_other_settings(trainer: nnUNetTrainer, method: Method[Any, Any]) -> None:
    """Refuse to train into a folder whose plans have other settings.

    The plans of a folder that cannot be read, since a kill or a full disk cut them short, are written anew by a
    training that goes on from a checkpoint, whose settings were compared, and where the folder has no checkpoints.

    Raises:
        UserError: naming each setting that differs, and for plans that cannot be read in a folder of results.
    """
    plans_file = Path(trainer.output_folder_base) / "plans.json"
    if not plans_file.is_file():
        return
    try:
        plans = read_json_file(plans_file, record({"configurations": mapping_of(mapping_of())}))
    except UserError as error:
        if trainer.current_epoch == 0 and any(plans_file.parent.glob("fold_*/**/checkpoint_*.pth")):
            raise UserError(f"{error} Or remove it: training writes it anew.") from error
        trainer.print_to_log_file(f"{error} It is written anew.")
        return
    section = None
    if trainer.configuration_name in plans["configurations"]:
        # It may inherit the section.
        configuration = PlansManager(plans).get_configuration(trainer.configuration_name).configuration
        section = configuration.get(method.settings_section)
    there = method.settings_class.from_configuration(section, str(plans_file))
    # Which release wrote it is not known: settings that it does not name may be what an earlier one did.
    if method.settings.differences(section or {}):
        there = settings_in_force(there, trainer.label_manager)
        method.settings.refuse_others(dataclasses.asdict(there), trainer.output_folder_base)


def refuse_too_few_processes() -> None:
    """Refuse ``nnUNet_def_n_proc`` below 1, with which nnU-Net's validation would fail after the last epoch."""
    if default_num_processes < 1:
        raise UserError(
            f"nnUNet_def_n_proc is {default_num_processes}: set it to the number of processes that preprocess and "
            "export, at least 1."
        )
