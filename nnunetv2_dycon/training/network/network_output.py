"""What a forward pass yields."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


def full_resolution(values: Tensor | list[Tensor]) -> Tensor:
    """The first of the list that deep supervision makes of logits or targets; the tensor itself without."""
    return values[0] if isinstance(values, list | tuple) else values


class NetworkOutput(NamedTuple):
    """Output of a network and, for methods that read them, its bottleneck features.

    Attributes:
        output: what the network returns: logits, or with deep supervision a list of them, highest resolution first.
        bottleneck: (B, C, *spatial); None for a method that does not read them.
        labeled: (B, 1, *patch) booleans, true where a mixed view shows a labeled crop; None: nowhere.
        ignored: (B, 1, *patch) booleans, true where that crop has the ignore label; None: nowhere.
    """

    output: Tensor | list[Tensor]
    bottleneck: Tensor | None
    labeled: Tensor | None = None
    ignored: Tensor | None = None

    @property
    def logits(self) -> Tensor:
        """(B, C, *patch) logits at full resolution."""
        return full_resolution(self.output)
