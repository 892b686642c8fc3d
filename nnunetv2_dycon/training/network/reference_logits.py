"""A reference segmentation in the form of logits."""

from __future__ import annotations

from typing import NamedTuple

import torch
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from torch import Tensor

from nnunetv2_dycon.training.split_target import split_target

# A probability of 1 in float32, and no more than float16 holds.
CERTAIN_LOGIT = 20.0


class ReferenceLogits(NamedTuple):
    """Logits of a network that is certain of the reference.

    Attributes:
        logits: (B, C, *patch), float32: CERTAIN_LOGIT for what is the case and its negative for what is not.
        ignored: (B, 1, *patch) booleans, true where the reference has the ignore label, whose logits are those of
            background; None for a data set without ignore label.
    """

    logits: Tensor
    ignored: Tensor | None


def reference_logits(target: Tensor, label_manager: LabelManager) -> ReferenceLogits:
    """Write a reference segmentation as logits.

    Args:
        target: (B, 1, *patch) labels or (B, regions, *patch), the ignore label as last region, as nnU-Net's loader
            gives it. Negative labels are background.
        label_manager: nnU-Net's, of the data set.

    Returns:
        The logits, (B, number of segmentation heads, *patch), and what is ignored.
    """
    target, ignored = split_target(target, label_manager)
    if label_manager.has_regions:
        is_so = target > 0
    else:
        if ignored is not None:
            target = torch.where(ignored, 0, target)
        classes = torch.arange(label_manager.num_segmentation_heads, device=target.device)
        is_so = target.clamp_min(0) == classes.view(1, -1, *[1] * (target.ndim - 2))
    return ReferenceLogits(torch.where(is_so, CERTAIN_LOGIT, -CERTAIN_LOGIT), ignored)
