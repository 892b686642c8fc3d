"""What the losses share: the precision they compute in and how they cut their work into tiles."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

AUTOCAST_DEVICES = ("cpu", "cuda", "xpu")
# A CPU is fastest when a tile stays in its cache; an accelerator needs tiles large enough to hide the cost of launching
# a kernel.
CPU_TILE_BYTES = 8 * 1024**2
DEVICE_TILE_BYTES = 64 * 1024**2


def compute_dtype(tensor: Tensor) -> torch.dtype:
    """The type to compute in: float64 for float64, else float32, since half precision overflows in exponentials."""
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32


def without_autocast(tensor: Tensor) -> AbstractContextManager[object]:
    """Switch autocast off for the device of `tensor`, so that matrix products keep the type of their arguments."""
    device_type = tensor.device.type
    return torch.autocast(device_type, enabled=False) if device_type in AUTOCAST_DEVICES else nullcontext()


def default_byte_budget(tensor: Tensor) -> int:
    """Bytes that the temporary tensors of one tile may take together on the device of `tensor`."""
    return CPU_TILE_BYTES if tensor.device.type == "cpu" else DEVICE_TILE_BYTES


def tile_length(bytes_per_item: int, byte_budget: int) -> int:
    """How many items (anchors, voxels) fit into one tile, at least 1.

    Args:
        bytes_per_item: bytes of temporary tensors that one item needs.
        byte_budget: bytes that a tile may take.

    Raises:
        ValueError: if `byte_budget` is not positive.
    """
    if byte_budget <= 0:
        raise ValueError(f"byte_budget must be positive, not {byte_budget}")
    return max(1, byte_budget // bytes_per_item)
