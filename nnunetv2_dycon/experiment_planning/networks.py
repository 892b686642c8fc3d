"""Another of nnU-Net's U-Nets in plans that were made for one of them."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet, ResidualUNet
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
from nnunetv2.experiment_planning.experiment_planners.residual_unets.residual_encoder_unet_planners import (
    ResEncUNetPlanner,
)
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels

from nnunetv2_dycon.datasets.planned_dataset import PlannedDataset
from nnunetv2_dycon.exceptions import UserError

NETWORKS = {network.__name__: network for network in (PlainConvUNet, ResidualEncoderUNet, ResidualUNet)}
_CLASS_NAMES = {name: f"{network.__module__}.{name}" for name, network in NETWORKS.items()}


class _PlannerWithoutDataset(ExperimentPlanner):
    def __init__(self, *arguments: object) -> None:
        """Leave out what ExperimentPlanner does: it reads a dataset."""


class _ResEncBlocks(ResEncUNetPlanner, _PlannerWithoutDataset):
    """The planner's numbers of blocks, which only its ``__init__`` sets, to the same for every dataset."""


def _blocks(network: str, stages: int) -> dict[str, list[int]]:
    """The arguments with the numbers of blocks in each stage; the decoder's begin at the lowest resolution."""
    if network == "PlainConvUNet":  # ExperimentPlanner of nnU-Net
        return {"n_conv_per_stage": [2] * stages, "n_conv_per_stage_decoder": [2] * (stages - 1)}
    if network == "ResidualEncoderUNet":
        planner = _ResEncBlocks("")
        encoder, decoder = planner.UNet_blocks_per_stage_encoder, planner.UNet_blocks_per_stage_decoder
    else:
        encoder = [min(stage, 3) for stage in range(1, stages + 1)]
        decoder = encoder[-2::-1]
    return {"n_blocks_per_stage": [*encoder[:stages]], "n_conv_per_stage_decoder": [*decoder[: stages - 1]]}


def change_network(dataset: PlannedDataset, configuration: str, network: str) -> dict[str, Any]:
    """The architecture of a configuration with another network in place of the planned one.

    Stages, features, kernels, strides, normalization and nonlinearity stay. The numbers of blocks in each stage are
    those that nnU-Net's planners give ``PlainConvUNet`` and ``ResidualEncoderUNet``. ``ResidualUNet``, which nnU-Net
    has no planner for, gets a residual block for each convolution of V-Net (Milletari et al. 2016): 1, 2, 3, 3, 3, ...
    in the encoder, and the same backwards, without the bottleneck, in the decoder. A configuration that has the network
    already keeps its architecture as it is.

    Args:
        dataset: with the plans to start from.
        configuration: e.g. ``3d_fullres``; it may inherit its architecture.
        network: one of :data:`NETWORKS`.

    Returns:
        The new value of ``architecture``.

    Raises:
        UserError: for an unknown configuration, plans in nnU-Net's old format, a network that is none of
            :data:`NETWORKS`, and arguments that the new one does not take.
    """
    planned = dataset.plans["configurations"].values()
    if any("architecture" not in settings and "inherits_from" not in settings for settings in planned):
        raise UserError(
            f'{dataset.plans_file} has configurations without "architecture", as nnU-Net\'s plans had in the past: '
            "plan the dataset again with nnUNetv2_plan_experiment."
        )
    architecture = dataset.configuration(configuration).configuration["architecture"]
    if architecture["network_class_name"] not in _CLASS_NAMES.values():
        raise UserError(
            f"{dataset.plans_file}: {configuration} has the network {architecture['network_class_name']}, whose stages "
            f"cannot be taken over; start from plans with one of {', '.join(NETWORKS)}."
        )
    if architecture["network_class_name"] == _CLASS_NAMES[network]:
        return architecture
    arguments = dict(architecture["arch_kwargs"])
    for name in ("n_conv_per_stage", "n_blocks_per_stage"):
        arguments.pop(name, None)
    arguments |= _blocks(network, arguments["n_stages"])
    unknown = arguments.keys() - inspect.signature(NETWORKS[network]).parameters.keys()
    if unknown:
        raise UserError(
            f"{dataset.plans_file}: {configuration} has {', '.join(sorted(unknown))}, which {network} does not take; "
            "start from plans without."
        )
    return {**architecture, "network_class_name": _CLASS_NAMES[network], "arch_kwargs": arguments}


def compare_feature_maps(before: PlannedDataset, after: PlannedDataset, configuration: str) -> str:
    """One sentence on what another network costs: nnU-Net's own estimates for the patch and batch of the plans.

    Args:
        before: with the plans to start from.
        after: with the plans for the other network.
        configuration: e.g. ``3d_fullres``.
    """
    planned_network, planned_size = _feature_maps(before, configuration)
    network, size = _feature_maps(after, configuration)
    if network == planned_network:
        return f"{configuration} had {network} before: its architecture is unchanged."
    settings = after.configuration(configuration)
    patch = " x ".join(map(str, settings.patch_size))
    return (
        f"The patch ({patch}) and batch ({settings.batch_size}) of {configuration} stay as they were for "
        f"{planned_network}, but by nnU-Net's own estimate the feature maps of {network} are "
        f"{size / planned_size:.2f} times as large ({size / 1e6:,.1f} instead of {planned_size / 1e6:,.1f} million "
        "values a batch): if training runs out of memory, lower batch_size or patch_size in the new plans."
    )


def _feature_maps(dataset: PlannedDataset, configuration: str) -> tuple[str, int]:
    """The network's name and how many values its feature maps have for a batch, as nnU-Net's planner estimates it."""
    settings = dataset.configuration(configuration)
    with torch.device("meta"):
        network = get_network_from_plans(
            settings.network_arch_class_name,
            settings.network_arch_init_kwargs,
            settings.network_arch_init_kwargs_req_import,
            determine_num_input_channels(dataset.plans_manager, settings, dataset.dataset_json),
            dataset.plans_manager.get_label_manager(dataset.dataset_json).num_segmentation_heads,
            allow_init=False,
        )
    return type(network).__name__, settings.batch_size * int(network.compute_conv_feature_map_size(settings.patch_size))
