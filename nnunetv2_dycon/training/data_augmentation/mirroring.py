"""Mirroring whole batches, on the device of the batches."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def random_mirror_axes(allowed: Sequence[int] | None) -> list[int]:
    """Draw the axes along which to mirror a batch, each with probability 0.5, as nnU-Net's augmentation does.

    Drawn on the CPU, so that nothing waits for a GPU.

    Args:
        allowed: spatial axes that may be mirrored, 0 being the first one, as in
            ``nnUNetTrainer.inference_allowed_mirroring_axes``; None or empty: none.

    Returns:
        Axes of a tensor of shape (B, C, *spatial), for ``torch.flip``, which undoes itself.
    """
    allowed = allowed or ()
    return [2 + axis for axis, draw in zip(allowed, torch.rand(len(allowed)).tolist(), strict=True) if draw < 0.5]
