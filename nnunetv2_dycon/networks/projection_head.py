"""The projection head of FeCL."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from dynamic_network_architectures.building_blocks.helper import convert_dim_to_conv_op, get_matching_instancenorm
from torch import Tensor, nn
from torch.nn import functional


class ProjectionHead(nn.Module):
    """Embeddings of bottleneck features: linear upsampling, 1x1 convolution - norm - ReLU - 1x1 convolution.

    They have unit length. Follows DyCON (arXiv:2504.04566), whose V-Net bottleneck is upsampled by 2. An axis that the
    encoder does not pool is not upsampled: cells finer than a voxel have no label.

    Args:
        in_channels: channels of the bottleneck.
        embedding_channels: channels of the embeddings.
        total_stride: by how much the encoder pools each axis; its length says whether features are 2D or 3D.
    """

    def __init__(self, in_channels: int, embedding_channels: int, total_stride: Sequence[int]) -> None:
        super().__init__()
        dim = len(total_stride)
        convolution = convert_dim_to_conv_op(dim)
        norm = get_matching_instancenorm(dimension=dim)
        self.scale_factor = tuple(float(min(2, stride)) for stride in total_stride)
        self.mode = {2: "bilinear", 3: "trilinear"}[dim]
        self.layers = nn.Sequential(
            convolution(in_channels, in_channels, kernel_size=1),
            norm(in_channels, affine=True),
            nn.ReLU(inplace=True),
            convolution(in_channels, embedding_channels, kernel_size=1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Project features (B, C, *spatial) to embeddings (B, D, *cells) of unit length along D, in float32."""
        first, *others = self.layers
        with torch.autocast(features.device.type, enabled=False):
            # A 1x1 convolution and linear interpolation commute, and before it there are an eighth of the voxels.
            embeddings = functional.interpolate(first(features.float()), scale_factor=self.scale_factor, mode=self.mode)
            for layer in others:
                embeddings = layer(embeddings)
            return functional.normalize(embeddings, dim=1)
