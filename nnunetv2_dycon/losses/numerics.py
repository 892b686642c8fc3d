"""What the losses share: the precision they compute in and how they cut their work into tiles."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def compute_dtype(tensor: Tensor) -> torch.dtype:
    """The type to compute in: float64 for float64, else float32, since half precision overflows in exponentials."""
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32


def check_voxel_map(name: str, tensor: Tensor | None, logits: Tensor, num_channels: tuple[int, ...] = (1,)) -> None:
    """Raise a ValueError if `tensor`, where given, has not the batch and patch of `logits` and these channels."""
    batch, _, *spatial = logits.shape
    if tensor is not None and tensor.shape not in [(batch, channels, *spatial) for channels in num_channels]:
        raise ValueError(f"{name} of shape {tuple(tensor.shape)} does not fit logits of shape {tuple(logits.shape)}")


def without_autocast(tensor: Tensor) -> AbstractContextManager[object]:
    """Switch autocast off for the device of `tensor`, so that matrix products keep the type of their arguments."""
    device_type = tensor.device.type
    return torch.autocast(device_type, enabled=False) if device_type in ("cpu", "cuda", "xpu") else nullcontext()


def default_byte_budget(tensor: Tensor) -> int:
    """Bytes that the temporary tensors of one tile may take together on the device of `tensor`.

    A CPU is fastest when a tile stays in its cache; an accelerator needs tiles large enough to hide the cost of
    launching a kernel.
    """
    return 8 * 1024**2 if tensor.device.type == "cpu" else 64 * 1024**2


def tile_length(bytes_per_item: int, byte_budget: int) -> int:
    """How many items (anchors, voxels) of `bytes_per_item` of temporary tensors fit into one tile, at least 1."""
    if byte_budget <= 0:
        raise ValueError(f"byte_budget must be positive, not {byte_budget}")
    return max(1, byte_budget // bytes_per_item)
