"""Where in a case the parts of a patch lie, whatever spatial transforms it went through, and which show foreground.

A patch is divided into blocks, at most 16 along each axis. That is fine enough to centre another patch on one of them,
and small enough to be sent with each batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from nnunetv2_dycon.losses.label_space import LabelSpace

_BLOCKS = 16
_AVERAGE: dict[int, Callable[..., Tensor]] = {2: functional.adaptive_avg_pool2d, 3: functional.adaptive_avg_pool3d}
_MAXIMUM: dict[int, Callable[..., Tensor]] = {2: functional.adaptive_max_pool2d, 3: functional.adaptive_max_pool3d}


def block_grid(patch_size: Sequence[int]) -> tuple[int, ...]:
    """How many blocks a patch has along each axis."""
    return tuple(min(size, _BLOCKS) for size in patch_size)


def location_channels(crop_size: Sequence[int]) -> Tensor:
    """Channels that tell where a voxel came from after a crop has been transformed with them in its image's place.

    Args:
        crop_size: of the untransformed crop, in voxels, D axes.

    Returns:
        (D + 1, *crop_size) float32: the index of each voxel along each axis, and 1, which is less where a transform
        interpolates between the crop and the padding around it.
    """
    indices = torch.meshgrid(*[torch.arange(size, dtype=torch.float32) for size in crop_size], indexing="ij")
    return torch.stack([*indices, torch.ones(tuple(crop_size))])


def average_blocks(values: Tensor) -> Tensor:
    """The mean of each block of (C, *patch), which is its value at the block's centre where it is linear."""
    return _AVERAGE[values.ndim - 1](values[None], block_grid(values.shape[1:]))[0]


def block_locations(channels: Tensor) -> Tensor:
    """The centre of each block of a patch in the crop that it came from.

    Args:
        channels: (D + 1, *patch) or (D + 1, *blocks), transformed :func:`location_channels`.

    Returns:
        (D, *blocks) float32 voxel indices; NaN for blocks that lie outside of the crop for the most part.
    """
    *indices, weight = average_blocks(channels)
    return torch.where(weight < 0.5, torch.nan, torch.stack(indices) / weight)


def foreground_by_block(logits: Tensor, labels: LabelSpace) -> Tensor:
    """Which foreground a network sees in which block, and how sure it is.

    Args:
        logits: (B, C, *patch).
        labels: what the channels mean.

    Returns:
        (B, F, *blocks) float32: of the voxels of a block that the hard prediction gives a class or region, the largest
        probability of it; 0 where there is no such voxel. F is the number of regions, or of classes without background.
    """
    predicted, probabilities = labels.harden(logits), labels.probabilities(logits.float())
    grid, maximum = block_grid(logits.shape[2:]), _MAXIMUM[logits.ndim - 2]
    # In turn, so that beyond the probabilities memory is that of one class.
    pairs: Iterator[tuple[Tensor, Tensor]]
    if labels.overlapping:
        pairs = zip(predicted.split(1, dim=1), probabilities.split(1, dim=1), strict=True)
    else:
        pairs = ((predicted == index, probabilities[:, index : index + 1]) for index in range(1, logits.shape[1]))
    return torch.cat([maximum(torch.where(mask, probability, 0), grid) for mask, probability in pairs], dim=1)


def every_second_voxel(values: Tensor) -> Tensor:
    """Every second voxel along each axis of (B, C, *spatial), which is enough for a mean over patches."""
    steps = [slice(None)] * 2 + [slice(None, None, 2)] * (values.ndim - 2)
    return values[tuple(steps)]


def foreground_and_entropy(logits: Tensor, labels: LabelSpace) -> tuple[Tensor, Tensor]:
    """How much foreground a prediction has, and how uncertain it is, on every second voxel along each axis.

    Args:
        logits: (B, C, *patch).
        labels: what the channels mean.

    Returns:
        (B,) the fraction of foreground of each patch, in [0, 1], and a scalar, the mean entropy in nats.
    """
    logits = every_second_voxel(logits)
    foreground = (labels.harden(logits) != 0).any(1).flatten(1).float().mean(1)
    return foreground, labels.entropy(logits).mean()
