"""What both variants of FeCL share: their checked inputs, the tiles they work in and the focal weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from nnunetv2_dycon.losses.numerics import compute_dtype, default_byte_budget, tile_length

# Every tile reads all embeddings and adds to all gradients: with few anchors, that would take longer than the products.
DEFAULT_ANCHORS = 128
# Below a focal exponent of 1 the slope is infinite at 0; it is taken no closer to it than this.
SMALLEST_BASE = 1e-6


class Cells(NamedTuple):
    """Inputs of FeCL in the type it computes in; what ignored cells hold is replaced by zeros.

    Attributes:
        embeddings: (B, N, D).
        classes: (B, N): labels, numbered from 0 within each sample; NaN, which equals nothing, for ignored cells.
        teacher_embeddings: (B, N, D) or None.
        teacher_mask: (B, N) ones and zeros: which of the teacher's embeddings count; or None, for all.
        entropy: (B, N) or None.
        weights: (B, N).
        needs_gradient: whether the embeddings need one.
    """

    embeddings: Tensor
    classes: Tensor
    teacher_embeddings: Tensor | None
    teacher_mask: Tensor | None
    entropy: Tensor | None
    weights: Tensor
    needs_gradient: bool


class Tile(NamedTuple):
    """Some anchors of one sample. The matrices are of the type of the embeddings and are the next tile's too.

    Attributes:
        sample: index into the batch.
        rows: the anchors.
        positive: (T, N), 1 for cells of the anchor's label, 0 for itself, ignored cells and the rest.
        negative: (T, N), 1 for cells of another label, 0 for ignored cells and the rest.
        work: further (T, N) matrices to write into: new memory takes several times as long as what is in the cache.
    """

    sample: int
    rows: slice
    positive: Tensor
    negative: Tensor
    work: list[Tensor]


def prepare_cells(
    embeddings: Tensor,
    labels: Tensor,
    teacher_embeddings: Tensor | None,
    teacher_mask: Tensor | None,
    entropy: Tensor | None,
    weights: Tensor | None,
    *,
    needs_gradient: bool,
) -> Cells:
    """Check the shapes of the inputs of :func:`~nnunetv2_dycon.losses.fecl.fecl_loss` and bring them to one type."""
    if embeddings.ndim != 3:
        raise ValueError(f"embeddings must be (B, N, D), not {tuple(embeddings.shape)}")
    if teacher_embeddings is not None and teacher_embeddings.shape != embeddings.shape:
        raise ValueError(f"teacher_embeddings must be {tuple(embeddings.shape)}, not {tuple(teacher_embeddings.shape)}")
    of_cells = {"labels": labels, "teacher_mask": teacher_mask, "entropy": entropy, "weights": weights}
    for name, tensor in of_cells.items():
        if tensor is not None and tensor.shape != embeddings.shape[:2]:
            raise ValueError(f"{name} must be of shape {tuple(embeddings.shape[:2])}, not {tuple(tensor.shape)}")

    dtype = compute_dtype(embeddings)
    weights = torch.ones(labels.shape, dtype=dtype, device=labels.device) if weights is None else weights.to(dtype)
    valid = weights > 0

    # A choice and not a product, so that not even a NaN in an ignored cell reaches the others.
    def clean(tensor: Tensor, keep: Tensor) -> Tensor:
        return torch.where(keep, tensor.to(dtype), 0)

    return Cells(
        clean(embeddings, valid.unsqueeze(2)),
        torch.where(valid, _number(labels).to(dtype), torch.nan),
        None if teacher_embeddings is None else clean(teacher_embeddings, valid.unsqueeze(2)),
        None if teacher_mask is None else teacher_mask.to(dtype),
        None if entropy is None else clean(entropy, valid),
        clean(weights, valid),
        needs_gradient,
    )


def tiles(cells: Cells, num_work: int, byte_budget: int | None) -> Iterator[Tile]:
    """Cut the anchors of every sample, in order, into tiles that have `num_work` matrices beside their masks.

    A `byte_budget` of None chooses by device, but no fewer than DEFAULT_ANCHORS anchors.
    """
    num_cells = cells.embeddings.shape[1]
    # One more for what the work allocates itself.
    bytes_per_anchor = max(1, (num_work + 3) * num_cells * cells.embeddings.itemsize)
    if byte_budget is None:
        length = max(DEFAULT_ANCHORS, tile_length(bytes_per_anchor, default_byte_budget(cells.embeddings)))
    else:
        length = tile_length(bytes_per_anchor, byte_budget)
    matrices = [cells.embeddings.new_empty(min(length, num_cells), num_cells) for _ in range(num_work + 2)]
    for sample, classes in enumerate(cells.classes):
        valid = (classes >= 0).to(classes.dtype)
        for start in range(0, num_cells, length):
            rows = slice(start, min(start + length, num_cells))
            positive, negative, *work = (matrix[: rows.stop - start] for matrix in matrices)
            # Masks of the embeddings' type, made without a step over booleans, cost a tenth of that on a CPU.
            torch.eq(classes[rows, None], classes, out=positive)
            torch.sub(valid, positive, out=negative)
            positive.diagonal(start).zero_()
            yield Tile(sample, rows, positive, negative, work)


def focal_weights(base: Tensor, mask: Tensor, gamma: float, slope_out: Tensor) -> tuple[Tensor, Tensor | None]:
    """``base ** gamma`` and its slope divided by `gamma`, where `mask` is 1, else 0, for a base >= 0.

    They are written to `base` and `slope_out`. A `gamma` of 0 has no slope.
    """
    if gamma == 0:
        return mask, None
    # No power for the default of 2: each further pass over the matrix costs as much as the product.
    power = base if gamma == 2 else base.clamp_min(SMALLEST_BASE if gamma < 1 else 0).pow_(gamma - 1)
    slope = torch.mul(power, mask, out=slope_out)
    if gamma <= 1:
        slope *= base.sign()
    return base.mul_(slope), slope


def _number(labels: Tensor) -> Tensor:
    """Number the distinct labels of each sample: codes of 60 regions do not fit a float, their numbers do."""
    ordered, order = labels.long().sort(1)
    is_new = torch.zeros_like(ordered)
    is_new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    return torch.empty_like(order).scatter_(1, order, is_new.cumsum(1))
