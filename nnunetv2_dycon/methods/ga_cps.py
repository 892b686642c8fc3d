"""Cross pseudo supervision with gradient-aware losses (GALoss, ECCV 2024; public code cicailalala/GALoss)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from nnunetv2_dycon.exceptions import UnsupportedFeatureError
from nnunetv2_dycon.losses.galoss import gace_loss, gadice_loss
from nnunetv2_dycon.losses.label_space import Classes, LabelSpace
from nnunetv2_dycon.losses.reduction import Reduction
from nnunetv2_dycon.methods.method import Batch, Losses, Method, Prediction, Task
from nnunetv2_dycon.methods.settings import LARGEST_WEIGHT, MethodSettings, setting, with_default


@dataclass(frozen=True)
class GACPSSettings(MethodSettings):
    """The weights of the gradient-aware losses (with departures as documented)."""

    warmup_fraction: float = with_default(MethodSettings, "warmup_fraction", 0.0)
    rampup_fraction: float = with_default(MethodSettings, "rampup_fraction", 1.0)
    cross_weight: float = setting(
        0.1,
        "weight of each student's loss with the other's pseudo-labels after the ramp-up",
        minimum=0,
        maximum=LARGEST_WEIGHT,
    )
    supervised_percent: float = setting(
        10.0,
        "of the labeled voxels, the share in percent with the largest cross-entropy that counts",
        minimum=0.1,
        maximum=100,
    )
    gamma: float = setting(
        0.5, "from 0, where each class counts as much as every other, to 1, where each voxel does", minimum=0, maximum=1
    )


class GradientAwareLoss(nn.Module):
    """GADice + GACE with the labels.

    Args:
        labels: what the channels mean.
        percent: of the voxels, the share with the largest cross-entropy that counts in GACE.
        gamma: see :func:`~nnunetv2_dycon.losses.galoss.gace_loss`.
        reduction: see :func:`~nnunetv2_dycon.losses.galoss.gace_loss`.
    """

    def __init__(self, labels: LabelSpace, percent: float, gamma: float, reduction: Reduction) -> None:
        super().__init__()
        self.labels, self.percent, self.gamma, self.reduction = labels, percent, gamma, reduction

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of logits (B, C, *patch) and nnU-Net's target (B, 1, *patch)."""
        classes, ignored = self.labels.split_target(target)
        hardest = gace_loss(
            logits, classes, percent=self.percent, gamma=self.gamma, ignored=ignored, reduction=self.reduction
        )
        return gadice_loss(logits, classes, ignored=ignored, reduction=self.reduction) + hardest


class GACPS(Method[GACPSSettings, Task]):
    """GA-CPS: cross pseudo supervision of two students with losses in which rare classes get their share of gradient.

    Each student learns the hard labels of the other on unlabeled and on labeled patches. The supervised loss is
    gradient-aware too, in place of nnU-Net's.
    """

    settings_section = "ga_cps"
    settings_class = GACPSSettings
    terms = ("cross",)
    panels: ClassVar = {"pseudo-label foreground fraction": ("pseudo_foreground_fraction",)}
    num_students = 2
    least_supervised_loss = 0.0

    def __init__(self, settings: GACPSSettings, labels: LabelSpace, *, batch_dice: bool = False) -> None:
        if not isinstance(labels, Classes):
            raise UnsupportedFeatureError(
                "GACPS does not support region-based training: its losses are defined for classes that exclude each "
                "other. Choose another method, such as nnUNetTrainerCoTraining."
            )
        super().__init__(settings, labels, batch_dice=batch_dice)

    def term_weights(self) -> dict[str, float]:
        """See Method."""
        return {"cross": self.settings.cross_weight}

    @property
    def compares_students_on(self) -> tuple[Batch, ...]:
        """Pseudo-labels of labeled patches are the other student's."""
        return ("labeled",)

    def prepare_further_student(self, network: nn.Module) -> None:
        """Xavier's initialisation in place of He's. See Method."""
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d):
                nn.init.xavier_normal_(module.weight)

    def supervised_loss(self) -> nn.Module:
        """GADice + GACE. See Method."""
        return GradientAwareLoss(self.labels, self.settings.supervised_percent, self.settings.gamma, self.reduction)

    def unlabeled_losses(self, student: Prediction, task: Task, progress: float) -> Losses:
        """GACE over all voxels with the other student's pseudo-labels. See Method."""
        pseudo_labels = self.labels.harden(task.teacher.logits)
        cross = self._cross(student, pseudo_labels)
        # Half of a batch of labeled and unlabeled patches in the paper.
        return Losses({"cross": 0.5 * cross}, {"pseudo_foreground_fraction": (pseudo_labels != 0).float().mean()})

    def labeled_losses(self, student: Prediction, target: Tensor, progress: float) -> Losses:
        """The same on the labeled batch. See Method."""
        pseudo_labels = self.labels.harden(student.others[0].logits)
        return Losses({"cross": 0.5 * self._cross(student, pseudo_labels)})

    def _cross(self, student: Prediction, pseudo_labels: Tensor) -> Tensor:
        gamma, reduction = self.settings.gamma, self.reduction
        return gace_loss(student.logits, pseudo_labels, percent=100, gamma=gamma, reduction=reduction)
