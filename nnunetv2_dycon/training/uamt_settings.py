"""Settings of nnUNetTrainerUAMT: the ``"uamt"`` section of a configuration."""

from __future__ import annotations

from dataclasses import dataclass

from nnunetv2_dycon.training.settings import SemiSupervisedSettings, setting


@dataclass(frozen=True)
class UAMTSettings(SemiSupervisedSettings):
    """The weight of the consistency loss and the teacher's stochastic passes (arXiv:1907.07034, as documented)."""

    consistency_weight: float = setting(
        10.0, "weight of the mean squared error on certain voxels after the ramp-up; 0.1 in the paper", minimum=0
    )
    stochastic_passes: int = setting(
        4, "how many passes of the teacher on noisy input the uncertainty is estimated from; 8 in the paper", minimum=1
    )
