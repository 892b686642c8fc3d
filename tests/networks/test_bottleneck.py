"""The bottleneck features of nnU-Net's networks."""

from __future__ import annotations

import pytest
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from torch import nn

from nnunetv2_dycon.exceptions import UnsupportedFeatureError
from nnunetv2_dycon.networks.bottleneck import BottleneckReader, bottleneck_channels

ARCHITECTURES = {PlainConvUNet: "n_conv_per_stage", ResidualEncoderUNet: "n_blocks_per_stage"}


def build(architecture: type[nn.Module], dim: int) -> nn.Module:
    convolution = {2: nn.Conv2d, 3: nn.Conv3d}[dim]
    norm = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}[dim]
    return architecture(
        input_channels=1,
        n_stages=3,
        features_per_stage=[4, 6, 10],
        conv_op=convolution,
        kernel_sizes=3,
        strides=[1, 2, 2],
        num_classes=3,
        n_conv_per_stage_decoder=1,
        norm_op=norm,
        nonlin=nn.ReLU,
        deep_supervision=True,
        **{ARCHITECTURES[architecture]: 1},
    )


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_features_are_those_of_the_last_pass(architecture: type[nn.Module], dim: int) -> None:
    network = build(architecture, dim)
    reader = BottleneckReader(network)
    image = torch.randn(2, 1, *[16] * dim)
    network(torch.randn_like(image))
    network(image)
    features = reader.take()
    assert features.shape == (2, bottleneck_channels(network), *[4] * dim)
    assert features.requires_grad
    assert torch.equal(features, network.encoder(image)[-1])


def test_features_are_let_go_when_taken() -> None:
    network = build(PlainConvUNet, 2)
    reader = BottleneckReader(network)
    with pytest.raises(ValueError, match="no forward pass"):
        reader.take()
    network(torch.randn(1, 1, 8, 8))
    reader.take()
    with pytest.raises(ValueError, match="no forward pass"):
        reader.take()


@pytest.mark.parametrize(
    "network", [nn.Conv2d(1, 2, 3), nn.ModuleDict({"encoder": nn.Identity()})], ids=["no encoder", "no skips"]
)
def test_networks_without_skips_are_refused_by_name(network: nn.Module) -> None:
    with pytest.raises(UnsupportedFeatureError, match=type(network).__name__):
        bottleneck_channels(network)
