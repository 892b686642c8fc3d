"""What UnCL knows of each voxel: the distributions of student and teacher, and how certain they are."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from nnunetv2_dycon.losses.label_space import LabelSpace, Regions, bernoulli_entropy


class VoxelDistribution(NamedTuple):
    """The distribution of each voxel, or for regions its distributions."""

    probability: Tensor  # p, (B, C, V)
    # By how much a logit exceeds its mean under p (classes) or zero (regions), (B, C, V). For classes this is
    # log p + H: the entropy's slope is -p * surplus, or -p (1 - p) * surplus for regions.
    surplus: Tensor
    entropy: Tensor  # H in nats, (B, V)


def voxel_distribution(logits: Tensor, labels: LabelSpace) -> VoxelDistribution:
    """Of logits (B, C, V), in their own precision."""
    if isinstance(labels, Regions):
        return VoxelDistribution(logits.sigmoid(), logits, bernoulli_entropy(logits).sum(1))
    shifted = logits - logits.amax(1, keepdim=True)
    probability = shifted.exp()
    partition = probability.sum(1, keepdim=True)
    probability /= partition
    mean = (probability * shifted).sum(1, keepdim=True)
    return VoxelDistribution(probability, shifted.sub_(mean), partition.log_().sub_(mean).squeeze(1))


def cross_entropy(student: VoxelDistribution, teacher: VoxelDistribution, labels: LabelSpace) -> Tensor:
    """Of the student's probabilities under the teacher's, (B, V); for regions, the sum of those of each."""
    expected = (teacher.probability * student.surplus).sum(1)
    if isinstance(labels, Regions):
        return softplus(student.surplus).sum(1).sub_(expected)
    return student.entropy - expected


def certainty_weights(student: VoxelDistribution, teacher: VoxelDistribution, beta: float) -> Tensor:
    """``1 / (exp(beta Hs) + exp(beta Ht))``, (B, V).

    The entropies of many regions may overflow an exponential; the quotient is then zero, which is its value in float32.
    """
    return torch.exp(beta * student.entropy).add_(torch.exp(beta * teacher.entropy)).reciprocal_()
