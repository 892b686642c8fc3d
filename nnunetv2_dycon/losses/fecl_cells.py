"""The checked inputs of FeCL and the tiles it works in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from nnunetv2_dycon.losses.numerics import compute_dtype, default_byte_budget, tile_length

# Every tile reads all embeddings and adds to all gradients: with few anchors, that would take longer than the products.
DEFAULT_ANCHORS = 128


class Cells(NamedTuple):
    """Inputs of FeCL in the type it computes in; what ignored cells hold is replaced by zeros.

    Attributes:
        embeddings: (B, N, D).
        classes: (B, N): labels, numbered from 0 within each sample; NaN, which equals nothing, for ignored cells.
        teacher_embeddings: (B, N, D) or None.
        teacher_mask: (B, N) ones and zeros: which of the teacher's embeddings count; or None, for all.
        entropy: (B, N) or None.
        weights: (B, N).
    """

    embeddings: Tensor
    classes: Tensor
    teacher_embeddings: Tensor | None
    teacher_mask: Tensor | None
    entropy: Tensor | None
    weights: Tensor


class Tile(NamedTuple):
    """Some anchors of one sample. The masks are 1 or 0 in the type of the embeddings.

    Attributes:
        sample: index into the batch.
        rows: the anchors.
        positive: (T, N), cells of the anchor's label, without itself and ignored cells.
        negative: (T, N), cells of another label, without ignored cells.
    """

    sample: int
    rows: slice
    positive: Tensor
    negative: Tensor


def prepare_cells(
    embeddings: Tensor,
    labels: Tensor,
    teacher_embeddings: Tensor | None,
    teacher_mask: Tensor | None,
    entropy: Tensor | None,
    weights: Tensor | None,
) -> Cells:
    """Check the inputs of FeCL and bring them to one type.

    Args:
        embeddings: (B, N, D).
        labels: (B, N).
        teacher_embeddings: (B, N, D) or None.
        teacher_mask: (B, N) or None.
        entropy: (B, N) or None.
        weights: (B, N) or None.

    Returns:
        The cells.

    Raises:
        ValueError: if a shape does not match.
    """
    if embeddings.ndim != 3:
        raise ValueError(f"embeddings must be (B, N, D), not {tuple(embeddings.shape)}")
    _check("labels", labels, embeddings.shape[:2])
    _check("teacher_embeddings", teacher_embeddings, embeddings.shape)
    _check("teacher_mask", teacher_mask, embeddings.shape[:2])
    _check("entropy", entropy, embeddings.shape[:2])
    _check("weights", weights, embeddings.shape[:2])

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
    )


def tiles(cells: Cells, matrices: int, byte_budget: int | None) -> Iterator[Tile]:
    """Cut the anchors of every sample into tiles.

    Args:
        cells: the cells.
        matrices: how many (T, N) matrices the work on a tile needs at a time, the two masks included.
        byte_budget: bytes they may take together. None chooses by device, but no fewer than DEFAULT_ANCHORS anchors.

    Yields:
        The tiles, sample by sample, in order. The masks of a tile are overwritten by the next.
    """
    work = WorkMatrices(cells)
    for sample, rows in tile_rows(cells, matrices, byte_budget):
        classes = cells.classes[sample]
        num_anchors = rows.stop - rows.start
        # Masks of the embeddings' type, made without a step over booleans, cost a tenth of that on a CPU.
        positive = torch.eq(classes[rows, None], classes, out=work.take("positive", num_anchors))
        negative = torch.sub((classes >= 0).to(classes.dtype), positive, out=work.take("negative", num_anchors))
        positive.diagonal(rows.start).zero_()
        yield Tile(sample, rows, positive, negative)


class WorkMatrices:
    """Matrices that the work on one tile leaves to the next.

    Writing into new memory takes several times as long as into memory that is in the cache.

    Args:
        cells: the cells.
    """

    def __init__(self, cells: Cells) -> None:
        self._like = cells.embeddings
        self._matrices: dict[str, Tensor] = {}

    def take(self, name: str, num_anchors: int) -> Tensor:
        """The matrix of that name, with whatever the tile before left in it.

        Args:
            name: of the matrix.
            num_anchors: rows; no more than in the first call for this name.

        Returns:
            (T, N), contiguous.
        """
        if name not in self._matrices:
            self._matrices[name] = self._like.new_empty(num_anchors, self._like.shape[1])
        return self._matrices[name][:num_anchors]


def tile_rows(cells: Cells, matrices: int, byte_budget: int | None) -> Iterator[tuple[int, slice]]:
    """Cut the anchors of every sample into tiles, without making masks.

    Args:
        cells: the cells.
        matrices: see :func:`tiles`.
        byte_budget: see :func:`tiles`.

    Yields:
        Index of the sample and its anchors.
    """
    batch, num_cells, _ = cells.embeddings.shape
    bytes_per_anchor = max(1, matrices * num_cells * cells.embeddings.itemsize)
    if byte_budget is None:
        length = max(DEFAULT_ANCHORS, tile_length(bytes_per_anchor, default_byte_budget(cells.embeddings)))
    else:
        length = tile_length(bytes_per_anchor, byte_budget)
    for sample in range(batch):
        for start in range(0, num_cells, length):
            yield sample, slice(start, min(start + length, num_cells))


def _check(name: str, tensor: Tensor | None, shape: torch.Size) -> None:
    if tensor is not None and tensor.shape != shape:
        raise ValueError(f"{name} must be of shape {tuple(shape)}, not {tuple(tensor.shape)}")


def _number(labels: Tensor) -> Tensor:
    """Number the distinct labels of each sample: codes of 60 regions do not fit a float, their numbers do."""
    ordered, order = labels.long().sort(1)
    is_new = torch.zeros_like(ordered)
    is_new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    return torch.empty_like(order).scatter_(1, order, is_new.cumsum(1))
