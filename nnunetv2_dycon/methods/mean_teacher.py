"""Mean teacher (Tarvainen and Valpola 2017, arXiv:1703.01780)."""

from __future__ import annotations

from dataclasses import dataclass

from nnunetv2_dycon.losses.segmentation import softmax_mse
from nnunetv2_dycon.methods.method import Losses, Method, Prediction, Task
from nnunetv2_dycon.methods.settings import LARGEST_WEIGHT, MethodSettings, setting


@dataclass(frozen=True)
class MeanTeacherSettings(MethodSettings):
    """The weight of the consistency loss (arXiv:1703.01780, with departures as documented)."""

    consistency_weight: float = setting(
        10.0,
        "weight of the mean squared error between student and teacher after the ramp-up",
        minimum=0,
        maximum=LARGEST_WEIGHT,
    )


class MeanTeacher(Method[MeanTeacherSettings, Task]):
    """Mean teacher: the mean squared error between the probabilities of student and teacher on unlabeled patches."""

    settings_section = "mean_teacher"
    settings_class = MeanTeacherSettings
    terms = ("consistency",)

    def term_weights(self) -> dict[str, float]:
        """See Method."""
        return {"consistency": self.settings.consistency_weight}

    def unlabeled_losses(self, student: Prediction, task: Task, progress: float) -> Losses:
        """The consistency loss. See Method."""
        consistency = softmax_mse(student.logits, task.teacher.logits, labels=self.labels, reduction=self.reduction)
        return Losses({"consistency": consistency})
