"""The released formulas of DyCON's losses, written down in the plainest way.

This is what the losses of the package are measured against and, in the tests, compared with: whole matrices, autograd,
and the broadcasts of the authors' code (one of UnCL's adds each sample's distances to each sample's entropies).
"""

from __future__ import annotations

import torch
from torch import Tensor


def uncl_reference(student_logits: Tensor, teacher_logits: Tensor, beta: float) -> Tensor:
    """UnCL as released.

    Args:
        student_logits: (B, C, X, Y, Z).
        teacher_logits: as `student_logits`.
        beta: strength of the uncertainty weighting.

    Returns:
        The loss, a scalar.
    """
    student, teacher = student_logits.softmax(1), teacher_logits.softmax(1)
    student_entropy = -(student * torch.log(student + 1e-6)).sum(1, keepdim=True)
    teacher_entropy = -(teacher * torch.log(teacher + 1e-6)).sum(1, keepdim=True)
    distance = (student - teacher) ** 2
    scaled = distance / (torch.exp(beta * student_entropy) + torch.exp(beta * teacher_entropy))
    # (B, X, Y, Z) + (B, 1, X, Y, Z) is (B, B, X, Y, Z); its mean is that of the two summands.
    return (scaled.sum(1) + beta * (student_entropy + teacher_entropy)).mean()


def fecl_reference(
    embeddings: Tensor,
    labels: Tensor,
    *,
    teacher_embeddings: Tensor | None = None,
    entropy: Tensor | None = None,
    temperature: float = 0.6,
    gamma: float = 2.0,
    focal: bool = True,
    hard_negative_threshold: float = 0.5,
    lambda_cross: float = 1.0,
) -> Tensor:
    """FeCL as released.

    Args:
        embeddings: (B, N, D), of unit length.
        labels: (B, N).
        teacher_embeddings: (B, N, D), of unit length, or None for no hard negatives.
        entropy: (B, N), or None; takes the place of the focal weight.
        temperature: divisor of the cosines.
        gamma: focal exponent.
        focal: apply the focal weight.
        hard_negative_threshold: cosine above which a teacher's negative is hard.
        lambda_cross: factor of the hard negatives' term.

    Returns:
        The loss, a scalar.
    """
    same = (labels.unsqueeze(2) == labels.unsqueeze(1)).to(embeddings.dtype)
    other = 1 - same
    off_diagonal = 1 - torch.eye(labels.shape[1], dtype=embeddings.dtype, device=embeddings.device)

    similarity = (embeddings @ embeddings.transpose(1, 2)) / temperature * off_diagonal
    similarity = similarity - similarity.max(dim=1, keepdim=True).values.detach()
    exponential = similarity.exp()
    negative_sum = (exponential * other).sum(2, keepdim=True)
    ratio = exponential / (exponential + negative_sum + 1e-18)
    loss = -torch.log(ratio + 1e-18) * same * off_diagonal
    if entropy is not None:
        loss = loss * entropy.unsqueeze(2)
    elif focal:
        loss = loss * (1 - ratio) ** gamma
    total = (loss.sum(2) / (same.sum(2) - 1 + 1e-18)).mean()

    if teacher_embeddings is not None:
        cosine = embeddings @ teacher_embeddings.transpose(1, 2)
        hard = (cosine > hard_negative_threshold).to(embeddings.dtype) * other
        total = total + lambda_cross * (-torch.log(1 - cosine + 1e-18) * hard).sum() / (hard.sum() + 1e-18)
    return total
