"""FeCL, the focal entropy-aware contrastive loss of DyCON (arXiv:2504.04566)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from nnunetv2_dycon.losses.fecl_cells import prepare_cells
from nnunetv2_dycon.losses.fecl_official import official_loss_and_gradient
from nnunetv2_dycon.losses.fecl_paper import paper_loss_and_gradient
from nnunetv2_dycon.losses.numerics import without_autocast
from nnunetv2_dycon.losses.reduction import WHOLE_BATCH, Reduction

Variant = Literal["paper", "official"]
SMALLEST_TEMPERATURE = 0.02


def fecl_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    teacher_embeddings: Tensor | None = None,
    teacher_mask: Tensor | None = None,
    entropy: Tensor | None = None,
    weights: Tensor | None = None,
    variant: Variant = "paper",
    temperature: float = 0.6,
    gamma: float = 2.0,
    focal_positives: bool = True,
    focal_negatives: bool = True,
    entropy_weighting: bool = True,
    hard_negatives: bool = True,
    num_hard_negatives: int = 16,
    hard_negative_threshold: float = 0.5,
    lambda_cross: float = 1.0,
    byte_budget: int | None = None,
    reduction: Reduction = WHOLE_BATCH,
) -> Tensor:
    r"""Contrast the cells of each sample: pull together what has the same label, push apart what has not.

    With the cosine :math:`c_{ik}` of cells i and k, positives P (same label, not i itself), negatives Q (another
    label), and :math:`S = c / \text{temperature}`, the variant ``paper`` is, per anchor i,

    .. math::
        \frac{e^{H_i}}{|P|} \sum_{k \in P} (1 - c_{ik})^\gamma \log \frac{D_i}{e^{S_{ik}}}, \quad
        D_i = \sum_{k \in P} e^{S_{ik}} + \sum_{q \in Q} \max(c_{iq}, 0)^\gamma \,
        \bigl(e^{S_{iq}} + \operatorname{mean}_{l \in \text{top-k}} e^{S_{il}}\bigr)

    where l runs over the teacher's embeddings of the k negatives that are most similar to i. The focal weights take
    the cosine itself and not `S`, so that they stay within [0, 2 ** gamma]; negatives at more than 90 degrees are as
    easy as can be and get weight 0, so that `gamma` need not be an even integer.

    The variant ``official`` equals the authors' released code in value and gradient:

    .. math::
        \frac{1}{|P|} \sum_{k \in P} (1 - r_{ik})^\gamma \log \frac{1}{r_{ik}}, \quad
        r_{ik} = \frac{e_{ik}}{e_{ik} + \sum_{q \in Q} e_{iq}}, \quad e_{ik} = e^{S_{ik} - \max_j S_{jk}}

    plus `lambda_cross` times the mean of ``-log(1 - cosine)`` over the pairs of an anchor and a teacher's negative
    that are more similar than `hard_negative_threshold`. The maximum is taken per column and over zero too, so it is
    no mere shift; the focal weight acts on positives only; the entropy, where given, is no exponent: it takes the
    place of the focal weight. An anchor without positives counts as 0 in its mean; the paper variant leaves it out.

    Cells are read in row tiles and the gradient is computed along with the loss, so no N x N matrix exists and
    nothing is computed twice. The tiling does not change the result, nor does the order of cells.

    Args:
        embeddings: (B, N, D), of unit length, any floating point type; computed in float32 (float64 stays float64).
        labels: (B, N), integer class of each cell; any values.
        teacher_embeddings: (B, N, D), the teacher's embeddings of the same cells, of unit length. None leaves the
            hard negatives out.
        teacher_mask: (B, N) booleans: cells whose embedding by the teacher may be a hard negative, since the teacher
            saw there what the student sees. None is all.
        entropy: (B, N), the entropy of each cell in nats. None leaves the entropy weighting out.
        weights: (B, N), >= 0. A cell of weight 0 is ignored: it is neither anchor, positive nor negative. Otherwise
            it is the anchor's weight (confidence of a pseudo-label) in the weighted mean over anchors. None is 1.
        variant: ``paper`` or ``official``.
        temperature: > 0; at least 0.02 in the paper variant, which keeps float32 from overflowing.
        gamma: focal exponent, >= 0; 0 switches the focal weights off.
        focal_positives: weight positives by their dissimilarity.
        focal_negatives: weight negatives by their similarity (``paper`` only).
        entropy_weighting: use `entropy`.
        hard_negatives: use `teacher_embeddings`.
        num_hard_negatives: the k of top-k, >= 1; all negatives if there are fewer (``paper`` only).
        hard_negative_threshold: cosine above which a teacher's negative is hard (``official`` only).
        lambda_cross: factor of the hard negatives' term (``official`` only).
        byte_budget: bytes that temporary tensors of a tile may take. None chooses by device and N, 128 anchors or more.
        reduction: completes sums over the batch; by default this process has all of it.

    Returns:
        The loss, a scalar in float32 (float64). Exactly zero, with a gradient of zeros, where no anchor has a positive
        (and, in the official variant, none a hard negative).

    Raises:
        ValueError: if shapes do not match or an option is out of range.
    """
    if variant not in ("paper", "official"):
        raise ValueError(f"variant must be 'paper' or 'official', not {variant!r}")
    if temperature <= 0 or (variant == "paper" and temperature < SMALLEST_TEMPERATURE):
        raise ValueError(
            f"temperature must be positive, and in the paper variant at least {SMALLEST_TEMPERATURE}, not {temperature}"
        )
    if gamma < 0:
        raise ValueError(f"gamma must not be negative, but is {gamma}")
    if num_hard_negatives < 1:
        raise ValueError(f"num_hard_negatives must be at least 1, not {num_hard_negatives}")

    teacher_embeddings = teacher_embeddings if hard_negatives else None
    entropy = entropy if entropy_weighting else None
    needs_gradient = embeddings.requires_grad and torch.is_grad_enabled()
    with torch.no_grad(), without_autocast(embeddings):
        cells = prepare_cells(
            embeddings, labels, teacher_embeddings, teacher_mask, entropy, weights, needs_gradient=needs_gradient
        )
        if variant == "paper":
            loss, gradient = paper_loss_and_gradient(
                cells,
                temperature,
                gamma * focal_positives,
                gamma * focal_negatives,
                num_hard_negatives,
                byte_budget,
                reduction,
            )
        else:
            loss, gradient = official_loss_and_gradient(
                cells,
                temperature,
                gamma * focal_positives,
                hard_negative_threshold,
                lambda_cross,
                byte_budget,
                reduction,
            )
    if gradient is not None:
        loss = _WithGradient.apply(embeddings, loss, gradient)
    (loss,) = reduction.sum(loss)
    return loss


@dataclass(eq=False, repr=False, kw_only=True)
class FeCL(nn.Module):
    """DyCON's focal entropy-aware contrastive loss (CVPR 2025, arXiv:2504.04566) of the cells of an embedding map.

    The options are those of :func:`fecl_loss`; leave `entropy` or `teacher_embeddings` out to switch them off. One that
    a schedule changes, such as `hard_negative_threshold`, may be set as an attribute at any time.
    """

    variant: Variant = "paper"
    temperature: float = 0.6
    gamma: float = 2.0
    focal_positives: bool = True
    focal_negatives: bool = True
    num_hard_negatives: int = 16
    hard_negative_threshold: float = 0.5
    lambda_cross: float = 1.0
    reduction: Reduction = WHOLE_BATCH

    def __post_init__(self) -> None:
        super().__init__()

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        *,
        teacher_embeddings: Tensor | None = None,
        teacher_mask: Tensor | None = None,
        entropy: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        """:func:`fecl_loss` with the options of this module."""
        return fecl_loss(
            embeddings,
            labels,
            teacher_embeddings=teacher_embeddings,
            teacher_mask=teacher_mask,
            entropy=entropy,
            weights=weights,
            **{field.name: getattr(self, field.name) for field in fields(self)},
        )


class _WithGradient(torch.autograd.Function):
    """Hands out a loss whose gradient is known already."""

    @staticmethod
    def forward(ctx: Any, embeddings: Tensor, loss: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        ctx.embeddings_dtype = embeddings.dtype
        return loss.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, loss_gradient: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        # The product is taken before the cast: a loss scaler is there to keep half precision from underflowing.
        return (gradient * loss_gradient).to(ctx.embeddings_dtype), None, None
