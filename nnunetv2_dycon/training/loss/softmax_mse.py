"""The consistency loss of mean teachers: squared distance of two predictions."""

from __future__ import annotations

from torch import Tensor

from nnunetv2_dycon.training.loss.numerics import compute_dtype, without_autocast
from nnunetv2_dycon.training.loss.probabilities import probabilities_of


def softmax_mse(
    student_logits: Tensor, teacher_logits: Tensor, *, regions: bool = False, mask: Tensor | None = None
) -> Tensor:
    """``mean (p_student - p_teacher)^2`` over voxels and channels.

    Source: Tarvainen and Valpola 2017 (arXiv:1703.01780); with a mask, Yu et al., MICCAI 2019 (arXiv:1907.07034).
    Computed in float32 (float64 for float64 logits), also under autocast.

    Args:
        student_logits: (B, C, *spatial), any floating point type.
        teacher_logits: as `student_logits`; receives no gradient.
        regions: the channels are regions (sigmoid) and not classes (softmax).
        mask: (B, 1, *spatial) or (B, C, *spatial) booleans, what the mean is taken over. If it is false everywhere, the
            loss and its gradient are exactly zero.

    Returns:
        The loss, a scalar in [0, 1].

    Raises:
        ValueError: if shapes do not match.
    """
    if student_logits.shape != teacher_logits.shape:
        raise ValueError(
            f"logits must be of one shape, not {tuple(student_logits.shape)} and {tuple(teacher_logits.shape)}"
        )
    dtype = compute_dtype(student_logits)
    with without_autocast(student_logits):
        student, teacher = (
            probabilities_of(logits, regions=regions)
            for logits in (student_logits.to(dtype), teacher_logits.detach().to(dtype))
        )
        squared = (student - teacher).square()
        if mask is None:
            return squared.mean()
        batch, channels, *spatial = squared.shape
        if mask.shape not in ((batch, 1, *spatial), (batch, channels, *spatial)):
            raise ValueError(f"mask of shape {tuple(mask.shape)} does not fit logits of shape {tuple(squared.shape)}")
        count = mask.sum() * (channels // mask.shape[1])
        return (squared * mask).sum() / count.clamp_min(1)
