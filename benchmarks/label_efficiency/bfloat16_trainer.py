"""A trainer that computes in bfloat16 on a CPU."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import Tensor, nn


def make_bfloat16_trainer(base: type[nnUNetTrainer]) -> type[nnUNetTrainer]:
    """Subclass a trainer so that steps on a CPU compute in bfloat16 where autocast deems it safe.

    As nnU-Net does in float16 on a GPU. Networks return float32, as nnU-Net's losses expect on a CPU.

    Args:
        base: the trainer.

    Returns:
        The subclass.
    """

    class Bfloat16Trainer(base):
        @staticmethod
        def build_network_architecture(
            plans_manager: PlansManager,
            configuration_manager: ConfigurationManager,
            num_input_channels: int,
            num_output_channels: int,
            enable_deep_supervision: bool = True,
        ) -> nn.Module:
            network = base.build_network_architecture(
                plans_manager, configuration_manager, num_input_channels, num_output_channels, enable_deep_supervision
            )
            # A hook is copied with the network, for a teacher.
            network.register_forward_hook(_return_float32)
            return network

        def train_step(self, batch: dict) -> dict:
            with _bfloat16():
                return super().train_step(batch)

        def validation_step(self, batch: dict) -> dict:
            with _bfloat16():
                return super().validation_step(batch)

    return Bfloat16Trainer


def _bfloat16() -> AbstractContextManager:
    # Without the cache: it would go on using weights of before a step, or of the student for the teacher.
    return torch.autocast("cpu", torch.bfloat16, cache_enabled=False)


def _return_float32(module: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> Any:  # noqa: ARG001 (torch's)
    return [scale.float() for scale in output] if isinstance(output, list) else output.float()
