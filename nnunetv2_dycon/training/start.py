"""What happens before the first step: checks that would otherwise fail hours later, and the building of networks."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from batchgenerators.utilities.file_and_folder_operations import save_json
from nnunetv2.configuration import default_num_processes
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import nn

from nnunetv2_dycon.datasets.preprocessed_cases import check_preprocessed_folder
from nnunetv2_dycon.datasets.splits import SPLITS_FILE, off_limits_cases, read_or_make_splits
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.files import explained_write_errors, written_aside
from nnunetv2_dycon.json_files import mapping_of, read_json_file, record
from nnunetv2_dycon.losses.label_space import Classes, LabelSpace, Regions
from nnunetv2_dycon.methods import settings_section
from nnunetv2_dycon.methods.method import Method
from nnunetv2_dycon.methods.settings import MethodSettings
from nnunetv2_dycon.preprocessing.prepare_unlabeled_data import UnlabeledData, prepare_unlabeled_data
from nnunetv2_dycon.training import distributed, previous_stage
from nnunetv2_dycon.training.class_locations import ClassLocations
from nnunetv2_dycon.training.ignored_voxels import (
    find_partly_labeled_cases,
    join_partly_labeled_cases,
    settings_in_force,
)
from nnunetv2_dycon.training.inputs import check_cases, check_start, preprocessing_command
from nnunetv2_dycon.training.predict_next_stage import predict_next_stage
from nnunetv2_dycon.training.students import Students
from nnunetv2_dycon.training.unlabeled_stream import nnUNetUnlabeledDataset


def refuse_missing_device(device: torch.device) -> None:
    """Refuse a GPU that PyTorch does not find; nnUNetv2_train takes CUDA unless told otherwise.

    Raises:
        UserError: for CUDA and MPS where they are not there.
    """
    is_available = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}.get(device.type)
    if is_available is not None and not is_available():
        raise UserError(
            f"PyTorch {torch.__version__} finds no {device.type} device on this machine: train with -device cpu, or "
            f"install a PyTorch that has {device.type} and see that it finds the device."
        )


def label_space_of(label_manager: LabelManager) -> LabelSpace:
    """What the channels of a network mean, as nnU-Net's label manager has it."""
    if label_manager.has_regions:
        return Regions(label_manager.has_ignore_label)
    return Classes(label_manager.ignore_label)


def count_foreground_classes(label_manager: LabelManager) -> int:
    """How many regions, or classes without background, a network predicts."""
    return len(label_manager.foreground_regions if label_manager.has_regions else label_manager.foreground_labels)


def read_settings(trainer: nnUNetTrainer, method: type[Method[Any, Any]]) -> MethodSettings:
    """The settings of a method in a trainer's plans.

    Raises:
        UserError: for unknown settings, values out of range and settings in a wrong place, each by name.
    """
    plans, name = trainer.plans_manager.plans, trainer.configuration_name
    configuration, plans_file = trainer.configuration_manager.configuration, f"{trainer.plans_manager.plans_name}.json"
    settings = settings_section.read_settings(plans, name, configuration, method, plans_file)
    return settings_in_force(settings, trainer.label_manager)


def refuse_what_is_not_supported(trainer: nnUNetTrainer) -> None:
    """Refuse batches of fewer patches than processes, labeled cases not preprocessed, and no process to export.

    Raises:
        UserError: for any of these.
    """
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
            raise UserError(
                f"{folder} is not there: the labeled cases are not preprocessed. Run nnUNetv2_preprocess with "
                f"-c {stage} -plans_name {trainer.plans_manager.plans_name}."
            )
    # nnU-Net fails on other files without naming them.
    check_preprocessed_folder(Path(trainer.preprocessed_dataset_folder), preprocessing_command(trainer))


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
        UserError: see check_cases and refuse_missing_predictions.
    """
    check_cases(trainer)
    if trainer.is_cascaded:
        previous_stage.refuse_missing_predictions(trainer, trainer.do_split()[1])


def with_own_loss(loss: nn.Module, own: nn.Module | None) -> nn.Module:
    """nnU-Net's supervised loss, or where a method has its own, that one at each scale of nnU-Net's."""
    if own is None:
        return loss
    if not isinstance(loss, DeepSupervisionWrapper):
        return own
    loss.loss = own
    return loss


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
        if trainer.current_epoch == 0 and any(plans_file.parent.glob("fold_*/checkpoint_*.pth")):
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


def build_students(trainer: nnUNetTrainer, method: Method[Any, Any]) -> Students:
    """Build all networks beside that of a trainer which nnU-Net has initialized, and have its optimizer train them."""

    def build_network() -> nn.Module:
        return trainer.build_network_architecture(
            trainer.plans_manager,
            trainer.configuration_manager,
            trainer.num_input_channels,
            trainer.label_manager.num_segmentation_heads,
            trainer.enable_deep_supervision,
        )

    def wrap(network: nn.Module) -> nn.Module:
        if not trainer._do_i_compile():
            return network
        # Networks of one class share the number of graphs that torch keeps, eight by default.
        config = torch._dynamo.config
        config.cache_size_limit = max(config.cache_size_limit, 8 * (method.num_students + 1))
        compiled: nn.Module = torch.compile(network)  # type: ignore[assignment]  # of a module, torch makes a module
        return compiled

    total_stride = np.prod(trainer.configuration_manager.pool_op_kernel_sizes, axis=0).tolist()
    # The seed of a training must give nnUNetTrainer's own batches and weights, whatever is built beside.
    with torch.random.fork_rng(devices=[trainer.device] if trainer.device.type == "cuda" else []):
        students = Students(
            method,
            trainer.student_network,
            trainer.network,
            build_network=build_network,
            total_stride=total_stride,
            device=trainer.device,
            wrap=wrap,
            synchronise=lambda network: distributed.synchronised(network, trainer),
        )
    distributed.broadcast_weights(students.auxiliary)
    students.average.copy_student(students.averaged_modules)
    if len(students.auxiliary) > 0:
        trainer.optimizer.add_param_group({"params": list(students.auxiliary.parameters())})
    return students


def write_splits_at_once(trainer: nnUNetTrainer) -> None:
    """Write the folds that nnU-Net would make where there are none yet, whole or not at all.

    nnU-Net writes them under their name, and a fold that is started at the same time reads half a file.

    Raises:
        UserError: if they cannot be written.
    """
    folder = Path(trainer.preprocessed_dataset_folder_base)
    splits_file = folder / SPLITS_FILE
    if trainer.fold == "all" or splits_file.is_file():
        return
    labeled = infer_dataset_class(trainer.preprocessed_dataset_folder).get_identifiers(
        trainer.preprocessed_dataset_folder
    )
    if splits := read_or_make_splits(splits_file, labeled):
        with explained_write_errors(folder), written_aside(splits_file) as partial:
            save_json(splits, str(partial))


def refuse_too_few_processes() -> None:
    """Refuse ``nnUNet_def_n_proc`` below 1, with which nnU-Net's validation would fail after the last epoch."""
    if default_num_processes < 1:
        raise UserError(
            f"nnUNet_def_n_proc is {default_num_processes}: set it to the number of processes that preprocess and "
            "export, at least 1."
        )


def prepare_unlabeled_cases(trainer: nnUNetTrainer, settings: MethodSettings) -> UnlabeledData:
    """Preprocess the unlabeled cases of a trainer's fold where that has not been done, and find partly labeled ones.

    Of several processes that share a training, the first does it while the others wait.

    In a cascade, they are then also predicted by the previous stage where that has not been done.

    Raises:
        UserError: see prepare_unlabeled_data and predict_next_stage.
    """
    return distributed.on_first_process(lambda: _prepare_unlabeled_cases(trainer, settings))


def _prepare_unlabeled_cases(trainer: nnUNetTrainer, settings: MethodSettings) -> UnlabeledData:
    write_splits_at_once(trainer)
    tr_keys, val_keys = trainer.do_split()
    off_limits = off_limits_cases(Path(trainer.preprocessed_dataset_folder_base) / "splits_final.json", trainer.fold)
    partly_labeled = []
    if settings.ignored_voxels_as_unlabeled:
        partly_labeled = find_partly_labeled_cases(trainer, tr_keys)
        trainer.print_to_log_file(
            f"{len(partly_labeled)} of {len(tr_keys)} labeled training cases have ignored voxels and join the "
            "unlabeled ones, as images without labels."
        )
    data = prepare_unlabeled_data(
        trainer.plans_manager,
        trainer.configuration_manager,
        trainer.dataset_json,
        off_limits,
        default_num_processes,
        trainer.print_to_log_file,
        set(val_keys) - set(tr_keys),
        may_be_none=bool(partly_labeled),
    )
    if (stage := previous_stage.previous_stage_of(trainer)) is not None:
        predict_next_stage(stage, data, off_limits, trainer.device, default_num_processes, trainer.print_to_log_file)
    trainer.print_to_log_file(
        f"{len(tr_keys)} labeled and {len(data.identifiers)} unlabeled training cases, {len(val_keys)} validation "
        "cases."
    )
    return dataclasses.replace(data, partly_labeled=partly_labeled)


def make_unlabeled_dataset(
    trainer: nnUNetTrainer, data: UnlabeledData, settings: MethodSettings, class_locations: ClassLocations
) -> nnUNetUnlabeledDataset:
    """The dataset of a trainer's unlabeled stream, with the partly labeled cases that join it.

    Args:
        trainer: whose previous stage and masks are used.
        data: what :func:`prepare_unlabeled_cases` has found.
        settings: whether patches are drawn around foreground.
        class_locations: started, where they are.
    """
    needs_nonzero_mask, locations = any(trainer.configuration_manager.use_mask_for_norm), None
    if settings.unlabeled_foreground_fraction > 0:
        class_locations.start([*data.identifiers, *data.partly_labeled])
        locations = class_locations
    predictions = previous_stage.folder_of_unlabeled_predictions(trainer)
    dataset = nnUNetUnlabeledDataset(str(data.folder), data.identifiers, needs_nonzero_mask, predictions, locations)
    return join_partly_labeled_cases(dataset, trainer, data.partly_labeled) if data.partly_labeled else dataset
