"""The paper's FeCL in the plainest way: one anchor after the other, in the notation of the formula."""

from __future__ import annotations

import torch
from torch import Tensor


def plain_paper_fecl(
    embeddings: Tensor,
    labels: Tensor,
    *,
    teacher_embeddings: Tensor | None = None,
    entropy: Tensor | None = None,
    weights: Tensor | None = None,
    temperature: float = 0.6,
    gamma: float = 2.0,
    focal_positives: bool = True,
    focal_negatives: bool = True,
    entropy_weighting: bool = True,
    hard_negatives: bool = True,
    num_hard_negatives: int = 16,
) -> Tensor:
    weighted_losses, anchor_weights = [embeddings.sum() * 0], []
    for sample in range(len(embeddings)):
        e, y = embeddings[sample], labels[sample].tolist()
        w = [1.0] * len(y) if weights is None else weights[sample].tolist()
        used = [i for i in range(len(y)) if w[i] > 0]
        for i in used:
            positives = [k for k in used if y[k] == y[i] and k != i]
            negatives = [q for q in used if y[q] != y[i]]
            if not positives:
                continue
            hard = torch.zeros((), dtype=e.dtype)
            if hard_negatives and teacher_embeddings is not None and negatives:
                cosines = torch.stack([e[i] @ teacher_embeddings[sample, q] for q in negatives])
                hardest = cosines.sort(descending=True).values[:num_hard_negatives]
                hard = torch.exp(hardest / temperature).mean()
            denominator = torch.zeros((), dtype=e.dtype)
            for k in positives:
                denominator = denominator + torch.exp(e[i] @ e[k] / temperature)
            for q in negatives:
                cosine = e[i] @ e[q]
                focal = cosine.clamp(min=0) ** gamma if focal_negatives else 1
                denominator = denominator + focal * (torch.exp(cosine / temperature) + hard)
            loss = torch.zeros((), dtype=e.dtype)
            for k in positives:
                cosine = e[i] @ e[k]
                focal = (1 - cosine) ** gamma if focal_positives else 1
                if entropy_weighting and entropy is not None:
                    focal = focal * torch.exp(entropy[sample, i])
                loss = loss - focal * torch.log(torch.exp(cosine / temperature) / denominator)
            weighted_losses.append(w[i] * loss / len(positives))
            anchor_weights.append(w[i])
    return torch.stack(weighted_losses).sum() / (sum(anchor_weights) or 1)
