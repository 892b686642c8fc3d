"""Another of nnU-Net's U-Nets in plans."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import torch
from nnunetv2.experiment_planning.experiment_planners.residual_unets.residual_encoder_unet_planners import (
    ResEncUNetPlanner,
)
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from torch import nn

from nnunetv2_dycon.datasets.planned_dataset import read_planned_dataset
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.experiment_planning.networks import NETWORKS, change_network, compare_feature_maps
from nnunetv2_dycon.networks.bottleneck import bottleneck_channels
from tests.conftest import PATCH_SIZE

if TYPE_CHECKING:
    from tests.conftest import Workspace

CONFIGURATIONS = pytest.mark.parametrize("configuration", ["3d_fullres", "2d"])


def write_plans_with(workspace: Workspace, network: str, configuration: str, plans: str = "nnUNetPlansSmall") -> str:
    """Plans in which a configuration has another network; returns their name."""
    changed = workspace.read_plans(plans)
    dataset = read_planned_dataset("501", plans)
    changed["configurations"][configuration]["architecture"] = change_network(dataset, configuration, network)
    workspace.write_plans(changed, f"{plans}{network}")
    return f"{plans}{network}"


def build(workspace: Workspace, plans: str, configuration: str, deep_supervision: bool) -> nn.Module:
    architecture = workspace.read_plans(plans)["configurations"][configuration]["architecture"]
    return get_network_from_plans(
        architecture["network_class_name"],
        architecture["arch_kwargs"],
        architecture["_kw_requires_import"],
        input_channels=1,
        output_channels=3,
        deep_supervision=deep_supervision,
    )


@CONFIGURATIONS
def test_the_architectures_are_those_of_nnunets_planners(
    workspace: Workspace, configuration: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its planners choose the same patch for a dataset as small as this, so the same stages."""
    monkeypatch.setenv("nnUNet_n_proc_DA", "1")  # The planner takes it for the number of threads.
    ResEncUNetPlanner("501").plan_experiment()
    plain = workspace.read_plans("nnUNetPlans")["configurations"][configuration]["architecture"]
    residual = workspace.read_plans("nnUNetResEncUNetPlans")["configurations"][configuration]["architecture"]
    assert len(plain["arch_kwargs"]["features_per_stage"]) > 2
    from_plain = read_planned_dataset("501", "nnUNetPlans")
    assert change_network(from_plain, configuration, "ResidualEncoderUNet") == residual
    from_residual = read_planned_dataset("501", "nnUNetResEncUNetPlans")
    assert change_network(from_residual, configuration, "PlainConvUNet") == plain


@CONFIGURATIONS
@pytest.mark.parametrize("network", NETWORKS)
def test_there_and_back_again(workspace: Workspace, configuration: str, network: str) -> None:
    plans = write_plans_with(workspace, network, configuration, "nnUNetPlans")
    architecture = change_network(read_planned_dataset("501", plans), configuration, "PlainConvUNet")
    assert architecture == workspace.read_plans("nnUNetPlans")["configurations"][configuration]["architecture"]


def test_a_network_that_is_there_already_keeps_its_blocks(workspace: Workspace) -> None:
    dataset = read_planned_dataset("501", "nnUNetPlansSmall")
    architecture = change_network(dataset, "3d_fullres", "PlainConvUNet")
    assert architecture == workspace.read_plans()["configurations"]["3d_fullres"]["architecture"]
    assert architecture["arch_kwargs"]["n_conv_per_stage"] == [1, 1, 1]
    assert compare_feature_maps(dataset, dataset, "3d_fullres") == (
        "3d_fullres had PlainConvUNet before: its architecture is unchanged."
    )


def test_blocks_of_the_residual_unet_are_as_many_as_convolutions_of_vnet(workspace: Workspace) -> None:
    plans = workspace.read_plans()
    plans["configurations"]["3d_fullres"]["patch_size"] = [16, 32, 16]
    arguments = plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    arguments.update(
        n_stages=5,
        features_per_stage=[2, 4, 8, 16, 16],
        kernel_sizes=[[3] * 3] * 5,
        strides=[[1] * 3] + [[2] * 3] * 4,
        n_conv_per_stage=[2] * 5,
        n_conv_per_stage_decoder=[2] * 4,
    )
    workspace.write_plans(plans, "nnUNetPlansDeep")
    network = build(
        workspace, write_plans_with(workspace, "ResidualUNet", "3d_fullres", "nnUNetPlansDeep"), "3d_fullres", True
    )
    assert [len(stage.blocks) for stage in network.encoder.stages] == [1, 2, 3, 3, 3]
    assert [len(stage.blocks) for stage in network.decoder.stages] == [3, 3, 2, 1]


@CONFIGURATIONS
@pytest.mark.parametrize("planned", NETWORKS)
@pytest.mark.parametrize("network", NETWORKS)
def test_the_network_has_the_stages_of_the_plans(
    workspace: Workspace, configuration: str, planned: str, network: str
) -> None:
    start = write_plans_with(workspace, planned, configuration)
    built = build(workspace, write_plans_with(workspace, network, configuration, start), configuration, True)
    assert type(built).__name__ == network
    assert bottleneck_channels(built) == 16
    patch = PATCH_SIZE[configuration]
    images = torch.rand(2, 1, *patch)
    skips = built.encoder(images)
    expected = [
        (2, channels, *(size // reduction for size in patch)) for channels, reduction in ((4, 1), (8, 2), (16, 4))
    ]
    assert [tuple(skip.shape) for skip in skips] == expected
    assert [tuple(output.shape) for output in built(images)] == [(2, 3, *shape[2:]) for shape in expected[:-1]]
    built.decoder.deep_supervision = False
    assert built(images).shape == (2, 3, *patch)


def count_convolved_values(network: nn.Module, patch_size: list[int]) -> int:
    """How many values all convolutions together return for a batch of two."""
    counts: list[int] = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            module.register_forward_hook(lambda _module, _inputs, output: counts.append(output.numel()))
    network(torch.rand(2, 1, *patch_size))
    return sum(counts)


@CONFIGURATIONS
@pytest.mark.parametrize("network", ["ResidualEncoderUNet", "ResidualUNet"])
def test_feature_maps_are_those_of_all_convolutions(workspace: Workspace, configuration: str, network: str) -> None:
    patch_size = [4 * size for size in PATCH_SIZE[configuration]]
    plans = workspace.read_plans()
    plans["configurations"][configuration]["patch_size"] = patch_size
    workspace.write_plans(plans, "nnUNetPlansBefore")
    names = ("nnUNetPlansBefore", write_plans_with(workspace, network, configuration, "nnUNetPlansBefore"))
    sizes = [count_convolved_values(build(workspace, name, configuration, False), patch_size) for name in names]
    before, after = (read_planned_dataset("501", name) for name in names)
    sentence = compare_feature_maps(before, after, configuration)
    assert f"the feature maps of {network} are {sizes[1] / sizes[0]:.2f} times as large" in sentence
    assert f"({sizes[1] / 1e6:.1f} instead of {sizes[0] / 1e6:.1f} million values a batch)" in sentence


def refuse(workspace: Workspace, plans: dict[str, Any], message: str, network: str = "ResidualUNet") -> None:
    workspace.write_plans(plans, "nnUNetPlansBad")
    with pytest.raises(UserError, match=rf"nnUNetPlansBad\.json.*{message}") as raised:
        change_network(read_planned_dataset("501", "nnUNetPlansBad"), "3d_fullres", network)
    assert re.search(r"\. ", str(raised.value)) is None


@pytest.mark.parametrize(
    "name",
    ["dynamic_network_architectures.architectures.primus.PrimusM", "somebody.networks.PlainConvUNet"],
)
def test_a_network_of_another_kind_is_refused(workspace: Workspace, name: str) -> None:
    plans = workspace.read_plans()
    plans["configurations"]["3d_fullres"]["architecture"]["network_class_name"] = name
    refuse(
        workspace,
        plans,
        f"3d_fullres has the network {name}, .* one of PlainConvUNet, ResidualEncoderUNet, ResidualUNet",
    )


def test_plans_in_the_old_format_are_refused(workspace: Workspace) -> None:
    plans = workspace.read_plans()
    plans["configurations"]["3d_fullres"].pop("architecture")
    plans["configurations"]["3d_fullres"] |= {"UNet_class_name": "PlainConvUNet", "n_conv_per_stage_encoder": [2, 2]}
    refuse(workspace, plans, 'without "architecture", .* nnUNetv2_plan_experiment')


def test_arguments_that_the_network_does_not_take_are_refused(workspace: Workspace) -> None:
    plans = workspace.read_plans()
    plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]["nonlin_first"] = True
    refuse(workspace, plans, "3d_fullres has nonlin_first, which ResidualUNet does not take")
