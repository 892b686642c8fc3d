"""Inputs of FeCL for tests."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from nnunetv2_dycon.losses.fecl import fecl_loss

VARIANTS = ["paper", "official"]


def random_inputs(
    batch: int = 2, num_cells: int = 24, channels: int = 8, num_labels: int = 3, seed: int = 0
) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    return {
        "embeddings": normalize(uniform(batch, num_cells, channels) - 0.25, dim=2),
        "labels": torch.randint(0, num_labels, (batch, num_cells), generator=generator),
        "teacher_embeddings": normalize(uniform(batch, num_cells, channels) - 0.25, dim=2),
        "entropy": uniform(batch, num_cells),
        "weights": uniform(batch, num_cells) * (uniform(batch, num_cells) > 0.2),
    }


def to(inputs: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    return {name: tensor if name == "labels" else tensor.to(dtype) for name, tensor in inputs.items()}


def value_and_gradient(inputs: dict[str, Tensor], **options: Any) -> tuple[Tensor, Tensor]:
    leaf = inputs["embeddings"].detach().clone().requires_grad_()
    loss = fecl_loss(**{**inputs, "embeddings": leaf}, **options)
    loss.backward()
    return loss.detach(), leaf.grad
