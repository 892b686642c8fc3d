"""The trainer of an arm as the benchmark runs it: as long as the preset says, on a CPU in bfloat16."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import Tensor, nn

from benchmarks.label_efficiency.presets import Preset

# Of the benchmark's own, to see what the last quarter of the training is worth.
THREE_QUARTERS_CHECKPOINT = "checkpoint_three_quarters.pth"
# A run that is interrupted loses at most this share of its epochs.
_SHARE_BETWEEN_CHECKPOINTS = 0.1


def make_benchmark_trainer(base: type[nnUNetTrainer], preset: Preset, *, bfloat16: bool) -> type[nnUNetTrainer]:
    """Subclass a trainer with the length and learning rate of a preset. The method stays as it is.

    It leaves one checkpoint more, of three quarters of the epochs.

    Args:
        base: the trainer of an arm.
        preset: epochs, steps, learning rate.
        bfloat16: see :func:`make_bfloat16_trainer`.

    Returns:
        A class of the same name, so that checkpoints name a trainer that nnU-Net finds.
    """

    class BenchmarkTrainer(make_bfloat16_trainer(base) if bfloat16 else base):  # type: ignore[misc]
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

        def save_checkpoint(self, filename: str) -> None:
            # A process that is killed meanwhile leaves the checkpoint of before.
            partial = f"{filename}.partial"
            super().save_checkpoint(partial)
            os.replace(partial, filename)

        def on_epoch_end(self) -> None:
            super().on_epoch_end()
            if self.current_epoch == max(1, 3 * self.num_epochs // 4):
                self.save_checkpoint(os.path.join(self.output_folder, THREE_QUARTERS_CHECKPOINT))

        def on_train_end(self) -> None:
            super().on_train_end()
            self.draw_progress(self.output_folder)

    BenchmarkTrainer.__name__ = base.__name__
    BenchmarkTrainer.__qualname__ = base.__qualname__
    return BenchmarkTrainer


def make_bfloat16_trainer(base: type[nnUNetTrainer]) -> type[nnUNetTrainer]:
    """Subclass a trainer so that steps on a CPU compute in bfloat16 where autocast deems it safe.

    As nnU-Net does in float16 on a GPU. Networks return float32, as nnU-Net's losses expect on a CPU.

    Args:
        base: the trainer.

    Returns:
        The subclass.
    """

    class Bfloat16Trainer(base):  # type: ignore[misc, valid-type]
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


def _draw_nothing(output_folder: str) -> None:
    """In place of the drawing of progress.png."""
