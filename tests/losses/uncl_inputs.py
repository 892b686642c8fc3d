"""What the tests of UnCL draw and vary."""

from __future__ import annotations

import torch
from torch import Tensor

from nnunetv2_dycon.losses.label_space import Classes, Regions

LABEL_SPACES = [Classes(), Regions()]
NORMALIZATIONS = ["voxels", "classes"]


def logits(*shape: int, seed: int = 0, scale: float = 3.0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Normally distributed, with this standard deviation."""
    generator = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype)
