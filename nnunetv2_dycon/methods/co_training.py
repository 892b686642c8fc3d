"""Co-training: cross pseudo supervision (Chen et al., CVPR 2021, arXiv:2106.01226)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from nnunetv2_dycon.losses.segmentation import dice_and_cross_entropy
from nnunetv2_dycon.methods.method import Losses, Method, Prediction, Task
from nnunetv2_dycon.methods.settings import LARGEST_WEIGHT, MethodSettings, setting


@dataclass(frozen=True)
class CoTrainingSettings(MethodSettings):
    """The weight of cross pseudo supervision (arXiv:2106.01226, with departures as documented)."""

    co_training_weight: float = setting(
        1.0,
        "weight of each student's loss with the other's pseudo-labels after the ramp-up; lambda in the paper, 1.5 or 6",
        minimum=0,
        maximum=LARGEST_WEIGHT,
    )


class CoTraining(Method[CoTrainingSettings, Task]):
    """Cross pseudo supervision: two students, each trained on unlabeled patches with the hard labels of the other."""

    settings_section = "co_training"
    settings_class = CoTrainingSettings
    terms = ("co_training",)
    panels: ClassVar = {"pseudo-label foreground fraction": ("pseudo_foreground_fraction",)}
    num_students = 2

    def term_weights(self) -> dict[str, float]:
        """See Method."""
        return {"co_training": self.settings.co_training_weight}

    def unlabeled_losses(self, student: Prediction, task: Task, progress: float) -> Losses:
        """Dice and cross-entropy with the other student's pseudo-labels. See Method."""
        pseudo_labels = self.labels.harden(task.teacher.logits)
        foreground = (pseudo_labels != 0).any(1, keepdim=True)
        (loss,) = dice_and_cross_entropy(
            student.logits,
            pseudo_labels,
            [torch.ones_like(foreground)],
            labels=self.labels,
            batch_dice=self.batch_dice,
            reduction=self.reduction,
        )
        return Losses({"co_training": loss}, {"pseudo_foreground_fraction": foreground.float().mean()})
