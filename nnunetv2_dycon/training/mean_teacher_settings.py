"""Settings of nnUNetTrainerMeanTeacher: the ``"mean_teacher"`` section of a configuration."""

from __future__ import annotations

from dataclasses import dataclass

from nnunetv2_dycon.training.settings import SemiSupervisedSettings, setting


@dataclass(frozen=True)
class MeanTeacherSettings(SemiSupervisedSettings):
    """The weight of the consistency loss (arXiv:1703.01780, with departures as documented)."""

    consistency_weight: float = setting(
        10.0, "weight of the mean squared error between student and teacher after the ramp-up", minimum=0
    )
