"""Copying boxes between crops, on the device of the crops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


def random_box_mask(
    patch_size: Sequence[int],
    fraction: float,
    batch: int,
    device: torch.device | str,
    generator: torch.Generator | None = None,
    *,
    wraps: bool = False,
) -> Tensor:
    """One box of fixed size at a random place in each patch.

    The zero-centred mask of bidirectional copy-paste (Bai et al., CVPR 2023, arXiv:2305.00673). Places are
    drawn on the device and independently for each patch; nothing waits for it.

    A box that must fit covers the middle of a patch more often than its rim, and always if it is at least half as long
    as the patch: where patches show one structure in their middle, it would be cut in all of them. A box that wraps
    around goes on at the opposite side, and covers all voxels equally often.

    Args:
        patch_size: voxels along each axis, of any number of axes.
        fraction: the box's length along each axis as a fraction of the patch's, in (0, 1]; rounded, at least one voxel.
        batch: number of patches.
        device: where to make the mask.
        generator: source of the random places, on `device`; torch's own by default.
        wraps: whether the box may start anywhere and goes on at the opposite side of the patch.

    Returns:
        (batch, 1, *patch_size) booleans, true in the box. All places where the box fits, or all places, are equally
        probable.

    Raises:
        ValueError: if `fraction` is out of range.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must be above 0 and at most 1, but is {fraction}")
    mask = torch.ones((batch, 1, *[1] * len(patch_size)), dtype=torch.bool, device=device)
    for axis, length in enumerate(patch_size):
        box_length = max(1, round(fraction * length))
        places = length if wraps else length - box_length + 1
        start = torch.randint(places, (batch, 1), device=device, generator=generator)
        inside = (torch.arange(length, device=device) - start) % length < box_length
        mask = mask & inside.view(batch, 1, *[length if other == axis else 1 for other in range(len(patch_size))])
    return mask


def invert_every_second(mask: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Exchange true and false in every second patch of (B, ...) booleans.

    Whether the first patch is one of these is drawn, so that both are equally frequent for any batch size.
    """
    first = torch.randint(2, (1,), device=mask.device, generator=generator)
    inverted = (torch.arange(mask.shape[0], device=mask.device) + first) % 2 == 1
    return mask ^ inverted.view(-1, *[1] * (mask.ndim - 1))


def random_partners(batch: int, others: int, device: torch.device | str) -> Tensor:
    """Which of the other patches each of a batch is mixed with, (batch,): one after another from a random start."""
    start = torch.randint(others, (1,), device=device)
    return (torch.arange(batch, device=device) + start) % others


class MixedPatches(NamedTuple):
    """Patches with parts of others, their partners.

    Attributes:
        patches: (B, C, *patch).
        from_partner: (B, 1, *patch) booleans, true where a patch shows its partner.
        partners: (B,) indices: which of the other patches that is.
    """

    patches: Tensor
    from_partner: Tensor
    partners: Tensor


def share_of_batch(batch: int, share: float, device: torch.device | str) -> Tensor:
    """Choose a share of the patches of a batch, evenly spread from a random start: (batch,) booleans.

    The number is `share` times `batch` where that is whole; else it is the next lower or higher one, by chance, so that
    the mean over batches is exact.
    """
    places = torch.arange(batch, device=device) * share + torch.rand(1, device=device)
    return (places + share).floor() > places.floor()


def paste_boxes(unlabeled: Tensor, labeled: Tensor, fraction: float, share: float = 1.0) -> MixedPatches:
    """Paste a box of a labeled patch into unlabeled ones, at the place where it was; boxes wrap around.

    Args:
        unlabeled: (B, C, *patch).
        labeled: (B', C, *patch), of which the partners are.
        fraction: see :func:`random_box_mask`.
        share: of the unlabeled patches that get a box, in [0, 1]; see :func:`share_of_batch`.
    """
    mask = _boxes_of(unlabeled, fraction, wraps=True)
    if share < 1:
        chosen = share_of_batch(len(unlabeled), share, unlabeled.device)
        mask = mask & chosen.view(-1, *[1] * (mask.ndim - 1))
    return _mix(unlabeled, labeled, mask, random_partners(len(unlabeled), len(labeled), unlabeled.device))


def exchange_boxes(unlabeled: Tensor, labeled: Tensor, fraction: float) -> MixedPatches:
    """Mix unlabeled patches with labeled ones: a box of these in one half of the batch, all but a box in the other.

    Arguments are those of :func:`paste_boxes`.
    """
    mask = invert_every_second(_boxes_of(unlabeled, fraction, wraps=False))
    return _mix(unlabeled, labeled, mask, random_partners(len(unlabeled), len(labeled), unlabeled.device))


def next_ones(batch: int, device: torch.device | str) -> Tensor:
    """The patch after each one of a batch, the first after the last: (batch,) indices."""
    return (torch.arange(batch, device=device) + 1) % batch


def paste_boxes_of_next(patches: Tensor, fraction: float, *, wraps: bool = False) -> MixedPatches:
    """Paste into each patch a box of the next one of the same batch, its partner; a single patch stays as it is.

    Arguments are those of :func:`paste_boxes`.
    """
    boxes = _boxes_of(patches, fraction, wraps=wraps)
    if len(patches) == 1:
        boxes = torch.zeros_like(boxes)
    return _mix(patches, patches, boxes, next_ones(len(patches), patches.device))


def _boxes_of(patches: Tensor, fraction: float, *, wraps: bool) -> Tensor:
    batch, _, *patch_size = patches.shape
    return random_box_mask(patch_size, fraction, batch, patches.device, wraps=wraps)


def _mix(patches: Tensor, others: Tensor, mask: Tensor, partners: Tensor) -> MixedPatches:
    return MixedPatches(torch.where(mask, others[partners], patches), mask, partners)
