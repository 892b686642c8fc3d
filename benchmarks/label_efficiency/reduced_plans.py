"""Plans with the network and patch of a preset."""

from __future__ import annotations

import copy
from typing import Any

from nnunetv2.experiment_planning.experiment_planners.network_topology import get_pool_and_conv_props

from benchmarks.label_efficiency.presets import Preset
from nnunetv2_dycon.exceptions import UserError

CONFIGURATION = "3d_fullres"
PLANS_IDENTIFIER = "nnUNetPlansBenchmark"
# ExperimentPlanner of nnU-Net.
_SMALLEST_FEATURE_MAP, _MOST_POOLINGS = 4, 999999


def reduce_plans(plans: dict[str, Any], preset: Preset) -> dict[str, Any]:
    """Put the network and patch of a preset into nnU-Net's plans.

    Spacing, resampling, normalisation and everything else that preprocessing reads stay the planner's. Strides and
    kernel sizes follow from spacing and patch by the planner's own rule.

    Args:
        plans: as nnU-Net planned them.
        preset: what to put in.

    Returns:
        Plans of the name :data:`PLANS_IDENTIFIER`.

    Raises:
        UserError: if the planner's rule gives another number of stages than the preset has features or convolutions.
    """
    plans = copy.deepcopy(plans)
    plans["plans_name"] = PLANS_IDENTIFIER
    configuration = plans["configurations"][CONFIGURATION]
    if preset.batch_size is not None:
        configuration["batch_size"] = preset.batch_size
    if preset.patch_size is None or preset.features is None:
        return plans
    _, strides, kernel_sizes, patch_size, _ = get_pool_and_conv_props(
        configuration["spacing"], preset.patch_size, _SMALLEST_FEATURE_MAP, _MOST_POOLINGS
    )
    stages = len(strides)
    if stages != len(preset.features):
        raise UserError(
            f"the preset {preset.name} has features for {len(preset.features)} stages, but a patch of "
            f"{preset.patch_size} at a spacing of {configuration['spacing']} mm gives {stages}: give another patch size"
        )
    if stages != len(preset.convolutions):
        raise UserError(
            f"{len(preset.convolutions)} numbers of convolutions are given for {stages} stages: give one for each"
        )
    configuration["patch_size"] = [int(size) for size in patch_size]
    configuration["architecture"]["arch_kwargs"].update(
        n_stages=stages,
        features_per_stage=list(preset.features),
        strides=[list(stride) for stride in strides],
        kernel_sizes=[list(kernel) for kernel in kernel_sizes],
        n_conv_per_stage=list(preset.convolutions),
        # From the lowest resolution to the highest; the bottleneck has no decoder stage.
        n_conv_per_stage_decoder=list(preset.convolutions[-2::-1]),
    )
    return plans
