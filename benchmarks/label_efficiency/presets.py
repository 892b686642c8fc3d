"""Presets: network, patch and length of the trainings on a dataset."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from nnunetv2.experiment_planning.experiment_planners.network_topology import get_pool_and_conv_props

from nnunetv2_dycon.exceptions import UserError

PLANS_IDENTIFIER = "nnUNetPlansBenchmark"
# ExperimentPlanner of nnU-Net.
_SMALLEST_FEATURE_MAP, _MOST_POOLINGS = 4, 999999


@dataclass(frozen=True)
class Preset:
    """What all runs on a dataset share, so that arms differ in nothing but the method.

    Attributes:
        name: its key in :data:`PRESETS`.
        channel_name: nnU-Net's channel name for a dataset that has no dataset.json.
        label_names: names of the labels 1, 2, ... for a dataset that has no dataset.json; empty for made-up names.
        patch_size: (axes in nnU-Net's order) in voxels; None keeps nnU-Net's own plans.
        features: channels of each stage, highest resolution first; None keeps nnU-Net's own plans.
        convolutions: of each stage, in encoder and decoder alike, where `features` are given; nnU-Net plans 2.
        batch_size: patches of a batch; None keeps nnU-Net's own.
        epochs: of a training.
        steps: training steps of an epoch.
        validation_steps: validation steps of an epoch, which give the pseudo-Dice.
        initial_learning_rate: of nnU-Net's SGD with polynomial decay.
        bfloat16_on_cpu: whether training and prediction on a CPU compute in bfloat16 where that is safe, as nnU-Net
            does in float16 on a GPU.
        configuration: of nnU-Net: ``2d`` or ``3d_fullres``.
    """

    name: str
    channel_name: str
    label_names: tuple[str, ...]
    patch_size: tuple[int, ...] | None
    features: tuple[int, ...] | None
    convolutions: tuple[int, ...]
    batch_size: int | None
    epochs: int
    steps: int
    validation_steps: int
    initial_learning_rate: float = 0.01
    bfloat16_on_cpu: bool = True
    configuration: str = "3d_fullres"


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            name="hippocampus",
            channel_name="MRI",
            label_names=("anterior", "posterior"),
            patch_size=(32, 48, 32),
            features=(8, 32, 64, 128),
            convolutions=(1, 2, 2, 2),
            batch_size=2,
            epochs=20,
            steps=100,
            validation_steps=16,
            initial_learning_rate=0.03,
        ),
        Preset(
            name="lung_nodules",
            channel_name="CT",
            label_names=("nodule",),
            patch_size=(16, 48, 48),
            features=(8, 32, 64, 128),
            convolutions=(1, 2, 2, 2),
            batch_size=2,
            epochs=20,
            steps=100,
            validation_steps=16,
            initial_learning_rate=0.03,
        ),
        # Slices of 8 to 10 mm: the literature on this dataset is in two dimensions, and a step costs a third.
        Preset(
            name="acdc",
            configuration="2d",
            channel_name="MRI",
            label_names=("right ventricle", "myocardium", "left ventricle"),
            patch_size=(96, 96),
            features=(8, 16, 32, 64, 128),
            convolutions=(1, 2, 2, 2, 2),
            batch_size=4,
            epochs=40,
            steps=200,
            validation_steps=8,
            initial_learning_rate=0.01,
        ),
        # nnU-Net as it is, for GPUs.
        Preset(
            name="planned",
            channel_name="MRI",
            label_names=(),
            patch_size=None,
            features=None,
            convolutions=(),
            batch_size=None,
            epochs=1000,
            steps=250,
            validation_steps=50,
            bfloat16_on_cpu=False,
        ),
    )
}


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
    configuration = plans["configurations"][preset.configuration]
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
