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
from nnunetv2_dycon.datasets.splits import SPLITS_FILE, UNLABELED_KEY, off_limits_cases
from nnunetv2_dycon.exceptions import UserError, listed
from nnunetv2_dycon.json_files import mapping_of, read_json_file, record
from nnunetv2_dycon.methods.method import Method
from nnunetv2_dycon.training import distributed, previous_stage
from nnunetv2_dycon.training.ignored_voxels import settings_in_force
from nnunetv2_dycon.training.inputs import check_cases, check_start, preprocessing_command_of


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
        UserError: see check_start, refuse_results_of_other_settings and refuse_missing_model.
    """
    check_start(trainer)
    refuse_results_of_other_settings(trainer, method)
    previous_stage.refuse_missing_model(trainer, needs_unlabeled_data=needs_unlabeled_data)


def check_before_validation(trainer: nnUNetTrainer) -> None:
    """Check what the validation after training reads.

    Raises:
        UserError: see check_cases, refuse_changed_folds and refuse_missing_predictions.
    """
    check_cases(trainer)
    refuse_changed_folds(trainer)
    if trainer.is_cascaded:
        previous_stage.refuse_missing_predictions(trainer, trainer.do_split()[1])


def refuse_changed_folds(trainer: nnUNetTrainer) -> None:
    """Refuse to go on from a checkpoint that has learnt from labels which its fold no longer trains on.

    On its validation cases the model would look better than it is, and those whose labels are off limits are not to be
    learnt from. Further training cases are no harm. nnU-Net does not look.

    Raises:
        UserError: naming these cases.
    """
    # Fold all validates on its training cases by design.
    if trainer.fold == "all" or not trainer.earlier_training_cases:
        return
    splits_file = Path(trainer.preprocessed_dataset_folder_base) / SPLITS_FILE
    others = {
        "for validation": trainer.do_split()[1],
        f'under "{UNLABELED_KEY}"': off_limits_cases(splits_file, trainer.fold),
    }
    for where, cases in others.items():
        if learnt := sorted(trainer.earlier_training_cases.intersection(cases)):
            raise UserError(
                f"{splits_file} has {listed(learnt)} {where} in fold {trainer.fold} now, and the checkpoint in "
                f"{trainer.output_folder} has learnt from {'its label' if len(learnt) == 1 else 'their labels'}. Put "
                "back the folds that it was trained with, or train anew without --c."
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
