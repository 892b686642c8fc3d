"""The trainer of an arm, made as long as the preset says."""

from __future__ import annotations

import os

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from benchmarks.label_efficiency.bfloat16_trainer import make_bfloat16_trainer
from benchmarks.label_efficiency.presets import Preset
from benchmarks.label_efficiency.training import THREE_QUARTERS_CHECKPOINT

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

    class BenchmarkTrainer(make_bfloat16_trainer(base) if bfloat16 else base):
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


def _draw_nothing(output_folder: str) -> None:
    """In place of the drawing of progress.png."""
