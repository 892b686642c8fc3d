"""The trainer of an arm, made as long as the preset says."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import Tensor, nn

from benchmarks.label_efficiency.presets import Preset

# A run that is interrupted loses at most this share of its epochs.
_SHARE_BETWEEN_CHECKPOINTS = 0.1


def make_benchmark_trainer(base: type[nnUNetTrainer], preset: Preset, *, bfloat16: bool) -> type[nnUNetTrainer]:
    """Subclass a trainer with the length and learning rate of a preset. The method stays as it is.

    Args:
        base: the trainer of an arm.
        preset: epochs, steps, learning rate.
        bfloat16: compute training and validation steps on the CPU in bfloat16 where autocast deems it safe, as nnU-Net
            does in float16 on a GPU. Networks return float32, as nnU-Net's losses expect on a CPU.

    Returns:
        A class of the same name, so that checkpoints name a trainer that nnU-Net finds.
    """

    def precision() -> AbstractContextManager:
        # Without the cache: it would go on using weights of before a step, or of the student for the teacher.
        return torch.autocast("cpu", torch.bfloat16, cache_enabled=False) if bfloat16 else nullcontext()

    class BenchmarkTrainer(base):
        def __init__(
            self,
            plans: dict,
            configuration: str,
            fold: int,
            dataset_json: dict,
            device: torch.device = torch.device("cuda"),  # noqa: B008 (nnU-Net reads this signature)
        ) -> None:
            super().__init__(plans, configuration, fold, dataset_json, device)
            self.num_epochs = preset.epochs
            self.num_iterations_per_epoch = preset.steps
            self.num_val_iterations_per_epoch = preset.validation_steps
            self.initial_lr = preset.initial_learning_rate
            self.save_every = max(1, round(preset.epochs * _SHARE_BETWEEN_CHECKPOINTS))
            # Drawing takes as long as many steps on a CPU.
            self.draw_progress = self.logger.plot_progress_png
            self.logger.plot_progress_png = _draw_nothing

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
            if bfloat16:
                # A hook is copied with the network, for a teacher.
                network.register_forward_hook(_return_float32)
            return network

        def train_step(self, batch: dict) -> dict:
            with precision():
                return super().train_step(batch)

        def validation_step(self, batch: dict) -> dict:
            with precision():
                return super().validation_step(batch)

        def save_checkpoint(self, filename: str) -> None:
            # A process that is killed meanwhile leaves the checkpoint of before.
            partial = f"{filename}.partial"
            super().save_checkpoint(partial)
            os.replace(partial, filename)

        def on_train_end(self) -> None:
            super().on_train_end()
            self.draw_progress(self.output_folder)

    BenchmarkTrainer.__name__ = base.__name__
    BenchmarkTrainer.__qualname__ = base.__qualname__
    return BenchmarkTrainer


def _draw_nothing(output_folder: str) -> None:
    """In place of the drawing of progress.png."""


def _return_float32(module: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> Any:  # noqa: ARG001 (torch's)
    return [scale.float() for scale in output] if isinstance(output, list) else output.float()
