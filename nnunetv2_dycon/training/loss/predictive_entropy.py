"""Entropy of the mean of several predictions."""

from __future__ import annotations

import torch
from torch import Tensor


def predictive_entropy(probabilities: Tensor, *, regions: bool = False) -> Tensor:
    """Entropy of a mean prediction, the uncertainty of Yu et al., MICCAI 2019 (arXiv:1907.07034).

    Args:
        probabilities: (B, C, *spatial) float32, mean over the passes of the probabilities of classes or of regions.
        regions: the channels are regions, each with a Bernoulli distribution of its own.

    Returns:
        Nats: (B, 1, *spatial) in [0, ln C], or for regions (B, C, *spatial) in [0, ln 2].
    """
    if regions:
        return -(torch.xlogy(probabilities, probabilities) + torch.xlogy(1 - probabilities, 1 - probabilities))
    return -torch.xlogy(probabilities, probabilities).sum(1, keepdim=True)
