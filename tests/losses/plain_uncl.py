"""The terms of UnCL in the plainest way."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from nnunetv2_dycon.losses.label_space import LabelSpace, Regions
from nnunetv2_dycon.losses.uncl import UnCLTerms


def plain_uncl_terms(
    student: Tensor, teacher: Tensor, beta: float, labels: LabelSpace, mask: Tensor | None, normalization: str
) -> UnCLTerms:
    """The formula, written down with torch's own distributions and left to autograd."""
    if isinstance(labels, Regions):
        student_entropy = torch.distributions.Bernoulli(logits=student).entropy().sum(1)
        teacher_entropy = torch.distributions.Bernoulli(logits=teacher).entropy().sum(1)
        student_probability, teacher_probability = student.sigmoid(), teacher.sigmoid()
        cross_entropy = binary_cross_entropy_with_logits(student, teacher_probability, reduction="none").sum(1)
    else:
        student_entropy = torch.distributions.Categorical(logits=student.movedim(1, -1)).entropy()
        teacher_entropy = torch.distributions.Categorical(logits=teacher.movedim(1, -1)).entropy()
        student_probability, teacher_probability = student.softmax(1), teacher.softmax(1)
        cross_entropy = -(teacher_probability * student.log_softmax(1)).sum(1)
    scale = 1 / (torch.exp(beta * student_entropy) + torch.exp(beta * teacher_entropy))
    weights = torch.ones_like(scale) if mask is None else mask.to(scale).reshape(scale.shape)
    squared = (student_probability - teacher_probability) ** 2

    def mean(values: Tensor) -> Tensor:
        return (values * weights).sum() / weights.sum()

    if normalization == "voxels":
        distance = mean(squared.sum(1) * scale)
    else:
        axes = (0, *range(2, student.ndim))
        voxels = (scale * weights).unsqueeze(1)
        sizes = (voxels * (student_probability**2 + teacher_probability**2)).sum(axes) + 1e-4 * weights.sum()
        distances = (voxels * squared).sum(axes) / sizes.detach()
        # The first class is the background; a region may be anything.
        distance = distances.mean() if isinstance(labels, Regions) else distances[1:].sum() / max(1, len(distances) - 1)
    certainty = 2 / (torch.exp(5 * student_entropy.detach()) + torch.exp(5 * teacher_entropy))
    cross_entropy = mean(certainty * cross_entropy)
    student_mean, teacher_mean = mean(student_entropy), mean(teacher_entropy)
    return UnCLTerms(distance, student_mean + teacher_mean, cross_entropy, student_mean, teacher_mean)
