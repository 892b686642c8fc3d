"""The checked inputs of FeCL and the tiles it works in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from nnunetv2_dycon.training.loss.numerics import compute_dtype, tile_length


class Cells(NamedTuple):
    """Inputs of FeCL in the type it computes in; ignored cells have embeddings of zeros and weight 0.

    Attributes:
        embeddings: (B, N, D).
        labels: (B, N), int64.
        teacher_embeddings: (B, N, D) or None.
        entropy: (B, N) or None.
        weights: (B, N).
        valid: (B, N), boolean: not ignored.
    """

    embeddings: Tensor
    labels: Tensor
    teacher_embeddings: Tensor | None
    entropy: Tensor | None
    weights: Tensor
    valid: Tensor


class Tile(NamedTuple):
    """The anchors ``rows`` of one sample.

    Attributes:
        sample: index into the batch.
        rows: anchors of the tile.
        positive: (T, N), boolean: valid cells of the anchor's label, without itself.
        negative: (T, N), boolean: valid cells of another label.
    """

    sample: int
    rows: slice
    positive: Tensor
    negative: Tensor


def prepare_cells(
    embeddings: Tensor,
    labels: Tensor,
    teacher_embeddings: Tensor | None,
    entropy: Tensor | None,
    weights: Tensor | None,
) -> Cells:
    """Check the inputs of FeCL and bring them to one type.

    Args:
        embeddings: (B, N, D).
        labels: (B, N).
        teacher_embeddings: (B, N, D) or None.
        entropy: (B, N) or None.
        weights: (B, N) or None.

    Returns:
        The cells.

    Raises:
        ValueError: if a shape does not match.
    """
    if embeddings.ndim != 3:
        raise ValueError(f"embeddings must be (B, N, D), not {tuple(embeddings.shape)}")
    expected = {"labels": (labels, 2), "entropy": (entropy, 2), "weights": (weights, 2)}
    expected["teacher_embeddings"] = (teacher_embeddings, 3)
    for name, (tensor, ndim) in expected.items():
        if tensor is not None and tensor.shape != embeddings.shape[:ndim]:
            raise ValueError(
                f"{name} of shape {tuple(tensor.shape)} do not fit embeddings of shape {tuple(embeddings.shape)}"
            )
    dtype = compute_dtype(embeddings)
    if weights is None:
        weights = torch.ones(labels.shape, dtype=dtype, device=labels.device)
    weights = weights.to(dtype)
    valid = weights > 0

    def clean(tensor: Tensor | None) -> Tensor | None:
        # A choice and not a product, so that not even a NaN in an ignored cell reaches the others.
        return None if tensor is None else torch.where(valid.unsqueeze(-1), tensor.to(dtype), 0)

    if entropy is not None:
        entropy = torch.where(valid, entropy.to(dtype), 0)
    cleaned = torch.where(valid.unsqueeze(-1), embeddings.to(dtype), 0)
    return Cells(cleaned, labels.long(), clean(teacher_embeddings), entropy, torch.where(valid, weights, 0), valid)


def tiles(cells: Cells, matrices: int, byte_budget: int) -> Iterator[Tile]:
    """Cut the anchors of every sample into tiles.

    Args:
        cells: the cells.
        matrices: how many (T, N) matrices a tile needs at a time.
        byte_budget: bytes they may take together.

    Yields:
        The tiles, sample by sample, in order.
    """
    batch, num_cells, _ = cells.embeddings.shape
    bytes_per_anchor = max(1, matrices * num_cells * cells.embeddings.itemsize)
    length = tile_length(bytes_per_anchor, byte_budget)
    for sample in range(batch):
        labels, valid = cells.labels[sample], cells.valid[sample]
        for start in range(0, num_cells, length):
            rows = slice(start, min(start + length, num_cells))
            positive = labels[rows, None] == labels
            negative = ~positive
            negative &= valid
            positive &= valid
            positive.diagonal(start).fill_(False)
            yield Tile(sample, rows, positive, negative)
