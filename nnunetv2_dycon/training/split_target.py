"""nnU-Net's target, taken apart into what is known and what is to be ignored."""

from __future__ import annotations

from typing import NamedTuple

from nnunetv2.utilities.label_handling.label_handling import LabelManager
from torch import Tensor


class SplitTarget(NamedTuple):
    """A target and where it says nothing.

    Attributes:
        target: (B, 1, *patch) labels, the ignore label among them, or (B, regions, *patch).
        ignored: (B, 1, *patch) booleans, true where the target has the ignore label; None for a data set without one.
    """

    target: Tensor
    ignored: Tensor | None


def split_target(target: Tensor, label_manager: LabelManager) -> SplitTarget:
    """Take a target apart.

    Args:
        target: (B, 1, *patch) labels, or (B, regions, *patch) with the ignore label as last region, as nnU-Net's loader
            gives it.
        label_manager: nnU-Net's, of the data set.

    Returns:
        The target without the region of the ignore label, and what is ignored.
    """
    if not label_manager.has_ignore_label:
        return SplitTarget(target, None)
    if label_manager.has_regions:
        return SplitTarget(target[:, :-1], target[:, -1:] > 0)
    return SplitTarget(target, target == label_manager.ignore_label)
