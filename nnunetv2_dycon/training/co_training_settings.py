"""Settings of nnUNetTrainerCoTraining: the ``"co_training"`` section of a configuration."""

from __future__ import annotations

from dataclasses import dataclass

from nnunetv2_dycon.training.settings import SemiSupervisedSettings, setting


@dataclass(frozen=True)
class CoTrainingSettings(SemiSupervisedSettings):
    """The weight of cross pseudo supervision (arXiv:2106.01226, with departures as documented)."""

    co_training_weight: float = setting(
        1.0,
        "weight of each student's loss with the other's pseudo-labels after the ramp-up; lambda in the paper, 1.5 or 6",
        minimum=0,
    )
