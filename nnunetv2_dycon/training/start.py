"""What happens before the first step: checks that would otherwise fail hours later, and the building of networks."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.configuration import default_num_processes
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from torch import nn

from nnunetv2_dycon.datasets.preprocessed_cases import check_preprocessed_folder
from nnunetv2_dycon.datasets.splits import off_limits_cases
from nnunetv2_dycon.exceptions import UnsupportedFeatureError, UserError
from nnunetv2_dycon.json_files import mapping_of, read_json_file, record
from nnunetv2_dycon.losses.label_space import Classes, LabelSpace, Regions
from nnunetv2_dycon.methods import settings_section
from nnunetv2_dycon.methods.method import Method
from nnunetv2_dycon.methods.settings import MethodSettings
from nnunetv2_dycon.preprocessing.prepare_unlabeled_data import UnlabeledData, prepare_unlabeled_data
from nnunetv2_dycon.training.inputs import preprocessing_command
from nnunetv2_dycon.training.students import Students


def label_space_of(label_manager: LabelManager) -> LabelSpace:
    """What the channels of a network mean, as nnU-Net's label manager has it."""
    if label_manager.has_regions:
        return Regions(label_manager.has_ignore_label)
    return Classes(label_manager.ignore_label)


def read_settings(trainer: nnUNetTrainer, method: type[Method[Any, Any]]) -> MethodSettings:
    """The settings of a method in a trainer's plans.

    Raises:
        UserError: for unknown settings, values out of range and settings in a wrong place, each by name.
    """
    plans, name = trainer.plans_manager.plans, trainer.configuration_name
    configuration, plans_file = trainer.configuration_manager.configuration, f"{trainer.plans_manager.plans_name}.json"
    return settings_section.read_settings(plans, name, configuration, method, plans_file)


def refuse_what_is_not_supported(trainer: nnUNetTrainer) -> None:
    """Refuse several GPUs, cascades, and labeled cases that are not preprocessed.

    Raises:
        UnsupportedFeatureError: for several GPUs and for cascades.
        UserError: when the labeled cases are not preprocessed.
    """
    name = type(trainer).__name__
    if trainer.is_ddp:
        raise UnsupportedFeatureError(f"{name} does not support -num_gpus above 1 yet: use one GPU.")
    if trainer.is_cascaded:
        raise UnsupportedFeatureError(
            f"{name} does not support cascades yet, since unlabeled scans have no segmentation of a previous stage: "
            "train 3d_fullres or 3d_lowres."
        )
    if not Path(trainer.preprocessed_dataset_folder).is_dir():
        raise UserError(
            f"{trainer.preprocessed_dataset_folder} is not there: the labeled cases are not preprocessed. Run "
            f"nnUNetv2_preprocess with -c {trainer.configuration_name} -plans_name {trainer.plans_manager.plans_name}."
        )
    # nnU-Net fails on other files without naming them.
    check_preprocessed_folder(Path(trainer.preprocessed_dataset_folder), preprocessing_command(trainer))


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
    section = plans["configurations"].get(trainer.configuration_name, {}).get(method.settings_section)
    there = method.settings_class.from_configuration(section, str(plans_file))
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
        )
    if len(students.auxiliary) > 0:
        trainer.optimizer.add_param_group({"params": list(students.auxiliary.parameters())})
    return students


def prepare_unlabeled_cases(trainer: nnUNetTrainer) -> UnlabeledData:
    """Preprocess the unlabeled cases of a trainer's fold where that has not been done.

    Raises:
        UserError: see prepare_unlabeled_data.
    """
    tr_keys, val_keys = trainer.do_split()
    data = prepare_unlabeled_data(
        trainer.plans_manager,
        trainer.configuration_manager,
        trainer.dataset_json,
        off_limits_cases(Path(trainer.preprocessed_dataset_folder_base) / "splits_final.json", trainer.fold),
        default_num_processes,
        trainer.print_to_log_file,
    )
    trainer.print_to_log_file(
        f"{len(tr_keys)} labeled and {len(data.identifiers)} unlabeled training cases, {len(val_keys)} validation "
        "cases."
    )
    return data
