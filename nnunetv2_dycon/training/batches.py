"""What is done to the batches of nnU-Net's loaders."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def to_device(batch: dict[str, Any], device: torch.device) -> tuple[Tensor, Tensor | list[Tensor]]:
    """Data and target of a labeled batch on a device, as nnUNetTrainer.train_step of 2.8.1 sends them."""
    data = batch["data"].to(device, non_blocking=True)
    if isinstance(batch["target"], list):
        return data, [scale.to(device, non_blocking=True) for scale in batch["target"]]
    return data, batch["target"].to(device, non_blocking=True)


def copy_target(batch: dict[str, Any]) -> dict[str, Any]:
    """A batch whose target may be changed in place, as nnU-Net's validation step does where voxels are ignored."""
    target = batch["target"]
    copy = [scale.clone() for scale in target] if isinstance(target, list) else target.clone()
    return {**batch, "target": copy}
