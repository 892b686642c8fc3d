"""Settings of nnUNetTrainerDyCONCoTraining: the ``"dycon_co_training"`` section of a configuration."""

from __future__ import annotations

from dataclasses import dataclass

from nnunetv2_dycon.training.dycon_settings import DyCONSettings


@dataclass(frozen=True)
class DyCONCoTrainingSettings(DyCONSettings):
    """DyCON's settings, with the other student in the teacher's place."""
