"""Probabilities of a network's logits."""

from __future__ import annotations

from torch import Tensor


def probabilities_of(logits: Tensor, *, regions: bool) -> Tensor:
    """Softmax over the classes, or the sigmoid of each region.

    Args:
        logits: (B, C, *spatial), of the floating point type to compute in.
        regions: the channels are regions and not classes.

    Returns:
        As `logits`, in [0, 1].
    """
    return logits.sigmoid() if regions else logits.softmax(1)
