"""Reading the bottleneck features of nnU-Net's networks while they run."""

from __future__ import annotations

from torch import Tensor, nn

from nnunetv2_dycon.exceptions import UnsupportedFeatureError


def bottleneck_channels(network: nn.Module) -> int:
    """How many channels a network's bottleneck has.

    Args:
        network: not wrapped, with an ``encoder`` that returns its skips, the bottleneck last, as nnU-Net's U-Nets do.

    Raises:
        UnsupportedFeatureError: for a network without such an encoder.
    """
    encoder = getattr(network, "encoder", None)
    if encoder is None or not hasattr(encoder, "output_channels"):
        raise UnsupportedFeatureError(
            f"{type(network).__name__} has no encoder with skip connections, whose features this method's loss "
            "needs. Use a U-Net configuration, or set the weight of that loss to 0 in the plans."
        )
    return encoder.output_channels[-1]


class BottleneckReader:
    """Keeps the bottleneck features of the last forward pass of a network.

    nnU-Net's networks return their logits alone. A forward hook on the encoder reads its lowest-resolution output,
    so that the network stays nnU-Net's own, also where it is compiled.

    Args:
        network: see :func:`bottleneck_channels`.
    """

    def __init__(self, network: nn.Module) -> None:
        self._features: Tensor | None = None
        network.get_submodule("encoder").register_forward_hook(self._read)

    def _read(self, encoder: nn.Module, arguments: tuple, skips: list[Tensor]) -> None:
        self._features = skips[-1]

    def take(self) -> Tensor:
        """The features (B, C, *spatial) of the last forward pass; they are let go, so that memory is not held.

        Raises:
            ValueError: when there was no forward pass since the last call.
        """
        if self._features is None:
            raise ValueError("there was no forward pass")
        features, self._features = self._features, None
        return features
