"""A mean teacher inside nnU-Net."""

from __future__ import annotations

from torch import Tensor

from nnunetv2_dycon.losses.segmentation import softmax_mse
from nnunetv2_dycon.training.mean_teacher_settings import MeanTeacherSettings
from nnunetv2_dycon.training.network.network_output import NetworkOutput
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerSemiSupervised import nnUNetTrainerSemiSupervised


class nnUNetTrainerMeanTeacher(nnUNetTrainerSemiSupervised):
    """Mean teacher (Tarvainen and Valpola 2017, arXiv:1703.01780) on nnU-Net.

    The mean squared error between the probabilities of student and teacher on unlabeled patches. Settings:
    :class:`MeanTeacherSettings`, section ``"mean_teacher"``.
    """

    settings_section = "mean_teacher"
    settings_class = MeanTeacherSettings
    terms = ("consistency",)

    def term_weights(self) -> dict[str, float]:
        """See nnUNetTrainerSemiSupervised."""
        return {"consistency": self.settings.consistency_weight}

    def unlabeled_losses(self, student: NetworkOutput, teacher: NetworkOutput) -> dict[str, Tensor]:
        """The consistency loss. See nnUNetTrainerSemiSupervised."""
        return {"consistency": softmax_mse(student.logits, teacher.logits, labels=self.label_space)}
