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
from torch import nn

from nnunetv2_dycon.datasets.splits import off_limits_cases, read_or_make_splits
from nnunetv2_dycon.files import explained_write_errors, written_aside
from nnunetv2_dycon.losses.label_space import Classes, LabelSpace, Regions
from nnunetv2_dycon.methods import settings_section
from nnunetv2_dycon.methods.method import Method
from nnunetv2_dycon.methods.settings import MethodSettings
from nnunetv2_dycon.preprocessing.prepare_unlabeled_data import UnlabeledData, prepare_unlabeled_data
from nnunetv2_dycon.training import distributed, previous_stage
from nnunetv2_dycon.training.ignored_voxels import (
    find_partly_labeled_cases,
    join_partly_labeled_cases,
    settings_in_force,
)
from nnunetv2_dycon.training.inputs import splits_file_of
from nnunetv2_dycon.training.predict_next_stage import predict_next_stage
from nnunetv2_dycon.training.students import Students
from nnunetv2_dycon.training.unlabeled_stream import nnUNetUnlabeledDataset


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
    settings_section.refuse_settings_in_dataset_json(
        trainer.dataset_json,
        str(Path(trainer.preprocessed_dataset_folder_base) / "dataset.json"),
        plans_file,
        name,
        method.settings_section,
        method.settings_class,
    )
    settings = settings_section.read_settings(plans, name, configuration, method, plans_file)
    return settings_in_force(settings, trainer.label_manager)


def log_settings(trainer: nnUNetTrainer) -> None:
    """Write the settings in force into a trainer's log; those of the ignore label where there is such a label."""
    without = () if trainer.label_manager.has_ignore_label else ("ignored_voxels_as_unlabeled",)
    text = trainer.settings.describe(leave_out=without)
    trainer.print_to_log_file(f"Settings of {type(trainer).__name__}:\n{text}", add_timestamp=False)
    trainer.logger.update_config({trainer.method.settings_section: dataclasses.asdict(trainer.settings)})


def with_own_loss(loss: nn.Module, own: nn.Module | None) -> nn.Module:
    """nnU-Net's supervised loss, or where a method has its own, that one at each scale of nnU-Net's."""
    if own is None:
        return loss
    if not isinstance(loss, DeepSupervisionWrapper):
        return own
    loss.loss = own
    return loss


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

    nnU-Net writes them under their name, and a fold that is started at the same time reads half a file. Of several
    processes that share a training, the first does it.

    Raises:
        UserError: if they cannot be written.
    """
    distributed.on_first_process(lambda: _write_splits_at_once(trainer))


def _write_splits_at_once(trainer: nnUNetTrainer) -> None:
    splits_file = splits_file_of(trainer)
    if trainer.fold == "all" or splits_file.is_file():
        return
    labeled = infer_dataset_class(trainer.preprocessed_dataset_folder).get_identifiers(
        trainer.preprocessed_dataset_folder
    )
    if splits := read_or_make_splits(splits_file, labeled):
        with explained_write_errors(splits_file.parent), written_aside(splits_file) as partial:
            save_json(splits, str(partial))


def prepare_unlabeled_cases(trainer: nnUNetTrainer) -> UnlabeledData:
    """Preprocess the unlabeled cases of a trainer's fold where that has not been done, and find partly labeled ones.

    Of several processes that share a training, the first does it while the others wait.

    In a cascade, they are then also predicted by the previous stage where that has not been done.

    Raises:
        UserError: see prepare_unlabeled_data and predict_next_stage.
    """
    return distributed.on_first_process(lambda: _prepare_unlabeled_cases(trainer))


def _prepare_unlabeled_cases(trainer: nnUNetTrainer) -> UnlabeledData:
    tr_keys, val_keys = trainer.do_split()
    off_limits = off_limits_cases(splits_file_of(trainer), trainer.fold)
    partly_labeled = []
    if trainer.settings.ignored_voxels_as_unlabeled:
        labeled = trainer.dataset_class(trainer.preprocessed_dataset_folder, tr_keys)
        partly_labeled = find_partly_labeled_cases(labeled, trainer.label_manager.ignore_label)
    data = prepare_unlabeled_data(
        trainer.plans_manager,
        trainer.configuration_manager,
        trainer.dataset_json,
        off_limits,
        default_num_processes,
        trainer.print_to_log_file,
        set(val_keys) - set(tr_keys),
        may_be_none=bool(partly_labeled),
        looked_for_ignored_voxels=trainer.settings.ignored_voxels_as_unlabeled,
    )
    if (stage := previous_stage.previous_stage_of(trainer)) is not None:
        predict_next_stage(stage, data, off_limits, trainer.device, default_num_processes, trainer.print_to_log_file)
    partly = ""
    if trainer.settings.ignored_voxels_as_unlabeled:
        partly = (
            f" {len(partly_labeled)} of the labeled training cases are partly annotated and join the unlabeled ones, "
            f"as images without labels: {len(partly_labeled) + len(data.identifiers)} in all."
        )
    trainer.print_to_log_file(
        f"{len(tr_keys)} labeled and {len(data.identifiers)} unlabeled training cases, {len(val_keys)} validation "
        f"cases.{partly}"
    )
    return dataclasses.replace(data, partly_labeled=partly_labeled)


def make_unlabeled_dataset(trainer: nnUNetTrainer, data: UnlabeledData) -> nnUNetUnlabeledDataset:
    """The dataset of a trainer's unlabeled stream, with the partly labeled cases that join it.

    Args:
        trainer: whose previous stage and masks are used.
        data: what :func:`prepare_unlabeled_cases` has found.
    """
    needs_nonzero_mask = any(trainer.configuration_manager.use_mask_for_norm)
    predictions = previous_stage.folder_of_unlabeled_predictions(trainer)
    dataset = nnUNetUnlabeledDataset(str(data.folder), data.identifiers, needs_nonzero_mask, predictions)
    return join_partly_labeled_cases(dataset, trainer, data.partly_labeled) if data.partly_labeled else dataset
