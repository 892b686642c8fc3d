"""Cross pseudo supervision inside nnU-Net."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from nnunetv2_dycon.losses.segmentation import dice_and_cross_entropy
from nnunetv2_dycon.training.co_training_settings import CoTrainingSettings
from nnunetv2_dycon.training.network.network_output import NetworkOutput
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerTwoStudents import nnUNetTrainerTwoStudents


class nnUNetTrainerCoTraining(nnUNetTrainerTwoStudents):
    """Cross pseudo supervision (Chen et al., CVPR 2021, arXiv:2106.01226) on nnU-Net.

    On unlabeled patches, each of two students is trained by Dice and cross-entropy with the hard pseudo-labels of the
    other. Settings: :class:`CoTrainingSettings`, section ``"co_training"``.
    """

    settings_section = "co_training"
    settings_class = CoTrainingSettings
    terms = ("co_training",)
    statistics_panels: ClassVar = {"pseudo-label foreground fraction": ("pseudo_foreground_fraction",)}

    def term_weights(self) -> dict[str, float]:
        """See nnUNetTrainerSemiSupervised."""
        return {"co_training": self.settings.co_training_weight}

    def unlabeled_losses(self, student: NetworkOutput, teacher: NetworkOutput) -> dict[str, Tensor]:
        """Dice and cross-entropy with the other student's pseudo-labels. See nnUNetTrainerSemiSupervised."""
        pseudo_labels = self.label_space.harden(teacher.logits)
        foreground = (pseudo_labels != 0).any(1, keepdim=True)
        self.statistics.add("pseudo_foreground_fraction", foreground.float().mean())
        (loss,) = dice_and_cross_entropy(
            student.logits,
            pseudo_labels,
            [torch.ones_like(foreground)],
            labels=self.label_space,
            batch_dice=self.configuration_manager.batch_dice,
        )
        return {"co_training": loss}
