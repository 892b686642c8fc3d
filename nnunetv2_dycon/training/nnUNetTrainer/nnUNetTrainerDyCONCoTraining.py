"""DyCON on two students inside nnU-Net."""

from __future__ import annotations

from torch import Tensor, nn

from nnunetv2_dycon.training.dycon_co_training_settings import DyCONCoTrainingSettings
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerDyCON import nnUNetTrainerDyCON
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerTwoStudents import nnUNetTrainerTwoStudents

_HEADS = ("projection_head", "second_projection_head")


class nnUNetTrainerDyCONCoTraining(nnUNetTrainerTwoStudents, nnUNetTrainerDyCON):
    """DyCON's losses (CVPR 2025, arXiv:2504.04566) between two students instead of student and mean teacher.

    Each student's UnCL draws it to the other, its FeCL takes the classes of unlabeled cells and the hard negatives from
    the other. Settings: :class:`DyCONCoTrainingSettings`, section ``"dycon_co_training"``.
    """

    settings_section = "dycon_co_training"
    settings_class = DyCONCoTrainingSettings

    def build_auxiliary(self) -> nn.ModuleDict:
        """The second student, and FeCL's projection head of each."""
        auxiliary = super().build_auxiliary()
        if self.reads_bottleneck:
            own, second = _HEADS
            auxiliary[second] = nnUNetTrainerDyCON.build_auxiliary(self)[own]
        return auxiliary

    def embed_student(self, bottleneck: Tensor) -> Tensor:
        """By the acting student's head. See nnUNetTrainerDyCON."""
        return self.auxiliary[_HEADS[self.second_student_acts]](bottleneck)

    def embed_teacher(self, bottleneck: Tensor) -> Tensor:
        """By the other student's head. See nnUNetTrainerDyCON."""
        return self.auxiliary[_HEADS[not self.second_student_acts]](bottleneck)
