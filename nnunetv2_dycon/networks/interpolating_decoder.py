"""Decoders that interpolate where nnU-Net's have transposed convolutions."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_dycon.exceptions import UnsupportedFeatureError


class InterpolatingConvolution(nn.Module):
    """Linear interpolation, then a convolution of three voxels a side that keeps the size.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: by how much each axis is enlarged; its length says whether features are 2D or 3D.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: Sequence[int]) -> None:
        super().__init__()
        self.stride = tuple(float(factor) for factor in stride)
        self.mode = {2: "bilinear", 3: "trilinear"}[len(stride)]
        convolution = {2: nn.Conv2d, 3: nn.Conv3d}[len(stride)]
        self.convolution = convolution(in_channels, out_channels, kernel_size=3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Enlarge (B, in_channels, *spatial) to (B, out_channels, *(spatial * stride))."""
        enlarged = functional.interpolate(features, scale_factor=self.stride, mode=self.mode, align_corners=False)
        return self.convolution(enlarged)


def interpolate_in_decoder(network: nn.Module) -> None:
    """Replace each transposed convolution of a U-Net's decoder by an :class:`InterpolatingConvolution`, in place.

    Args:
        network: with ``decoder.transpconvs``, as the U-Nets of dynamic-network-architectures have them.

    Raises:
        UnsupportedFeatureError: for a network without such a decoder.
    """
    upsampling = getattr(getattr(network, "decoder", None), "transpconvs", None)
    if upsampling is None:
        raise UnsupportedFeatureError(
            f"{type(network).__name__} has no decoder with transposed convolutions, in which the second student of "
            "this method differs from the first. Use a U-Net configuration."
        )
    for index, module in enumerate(upsampling):
        upsampling[index] = InterpolatingConvolution(module.in_channels, module.out_channels, module.stride)
