"""Shannon entropy of a network's output."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from nnunetv2_dycon.training.loss.numerics import without_autocast


def voxel_entropy(logits: Tensor, regions: bool = False) -> Tensor:
    """Entropy of each voxel.

    Args:
        logits: (B, C, *spatial), any floating point type; computed in float32.
        regions: the channels are regions (sigmoid): Bernoulli entropies, summed. Otherwise softmax.

    Returns:
        (B, *spatial), nats, in [0, log C] or [0, C log 2].
    """
    with without_autocast(logits):
        logits = logits.float()
        if regions:
            size = logits.abs()
            return (functional.softplus(-size) + size * torch.sigmoid(-size)).sum(1)
        log_probabilities = logits.log_softmax(1)
        return -(log_probabilities.exp() * log_probabilities).sum(1)
