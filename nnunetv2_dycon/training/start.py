"""What happens before the first step: checks that would otherwise fail hours later, and the building of networks."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.configuration import default_num_processes
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from torch import nn

from nnunetv2_dycon.datasets.splits import off_limits_cases
from nnunetv2_dycon.exceptions import UnsupportedFeatureError, UserError
from nnunetv2_dycon.losses.label_space import Classes, LabelSpace, Regions
from nnunetv2_dycon.methods.method import Method
from nnunetv2_dycon.methods.settings import MethodSettings
from nnunetv2_dycon.preprocessing.prepare_unlabeled_data import UnlabeledData, prepare_unlabeled_data
from nnunetv2_dycon.training.students import Students


def refuse_missing_device(device: torch.device) -> None:
    """Refuse a GPU that PyTorch does not find; nnUNetv2_train takes CUDA unless told otherwise.

    Raises:
        UserError: for CUDA and MPS where they are not there.
    """
    is_available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not is_available.get(device.type, True):
        raise UserError(
            f"PyTorch {torch.__version__} finds no {device.type} device on this machine: train with -device cpu, or "
            f"install a PyTorch that has {device.type} and see that it finds the device."
        )


def label_space_of(label_manager: LabelManager) -> LabelSpace:
    """What the channels of a network mean, as nnU-Net's label manager has it."""
    if label_manager.has_regions:
        return Regions(label_manager.has_ignore_label)
    return Classes(label_manager.ignore_label)


def read_settings(trainer: nnUNetTrainer, method: type[Method[Any, Any]]) -> MethodSettings:
    """The settings of a method in a trainer's plans.

    Raises:
        UserError: for unknown settings and values out of range, each by name.
    """
    section, plans_name = method.settings_section, trainer.plans_manager.plans_name
    where = f"configurations/{trainer.configuration_name}/{section} of {plans_name}.json"
    return method.settings_class.from_configuration(trainer.configuration_manager.configuration.get(section), where)


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


def refuse_results_of_other_settings(trainer: nnUNetTrainer, method: Method[Any, Any]) -> None:
    """Refuse to train into a folder whose plans have other settings.

    Raises:
        UserError: naming each setting that differs.
    """
    plans_file = Path(trainer.output_folder_base) / "plans.json"
    if plans_file.is_file():
        configuration = json.loads(plans_file.read_text())["configurations"].get(trainer.configuration_name, {})
        section = configuration.get(method.settings_section)
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
