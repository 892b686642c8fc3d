"""DyCON's losses (CVPR 2025, arXiv:2504.04566) between two students instead of student and mean teacher."""

from __future__ import annotations

from dataclasses import dataclass

from nnunetv2_dycon.methods.dycon import DyCON
from nnunetv2_dycon.methods.dycon_settings import DyCONSettings


@dataclass(frozen=True)
class DyCONCoTrainingSettings(DyCONSettings):
    """DyCON's settings, with the other student in the teacher's place."""


class DyCONCoTraining(DyCON):
    """DyCON on two students: UnCL draws each to the other, and FeCL takes classes and hard negatives from the other."""

    settings_section = "dycon_co_training"
    settings_class = DyCONCoTrainingSettings
    num_students = 2
