"""Plans for tests: a network of three small stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def shrink(configuration: dict[str, Any], patch_size: Sequence[int]) -> None:
    """Give a configuration of nnU-Net's plans this patch, a batch of 2 and a network of 4 to 16 features."""
    dim = len(patch_size)
    configuration.update(patch_size=[*patch_size], batch_size=2)
    configuration["architecture"]["arch_kwargs"].update(
        n_stages=3,
        features_per_stage=[4, 8, 16],
        kernel_sizes=[[3] * dim] * 3,
        strides=[[1] * dim, [2] * dim, [2] * dim],
        n_conv_per_stage=[1, 1, 1],
        n_conv_per_stage_decoder=[1, 1],
    )
