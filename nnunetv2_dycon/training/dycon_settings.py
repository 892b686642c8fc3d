"""Settings of nnUNetTrainerDyCON: the ``"dycon"`` section of a configuration."""

from __future__ import annotations

from dataclasses import dataclass

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.training.settings import SemiSupervisedSettings, setting


@dataclass(frozen=True)
class DyCONSettings(SemiSupervisedSettings):
    """DyCON's two losses: weights, schedules and switches (arXiv:2504.04566, with departures as documented)."""

    copy_paste_fraction: float = setting(
        0.75,
        "length, along each axis and as a fraction of the patch's, of the box of a labeled patch that is pasted into "
        "each unlabeled one in the student's view, wrapping around; 0: none, as in the paper",
        minimum=0,
        maximum=1,
    )
    uncl_weight: float = setting(1.0, "weight of UnCL after the ramp-up", minimum=0)
    uncl_normalization: str = setting(
        "classes",
        "how UnCL's distance is averaged: over voxels, as in the paper, or as a Dice loss of each class, for which the "
        "size of a structure does not matter",
        choices=("voxels", "classes"),
    )
    uncl_entropy_weight: float = setting(
        0.02, "factor on UnCL's entropy term beta * mean(H_student + H_teacher); 1 in the paper", minimum=0
    )
    beta_max: float = setting(1.0, "UnCL's beta at the start of training; 5 in the paper", minimum=0.001, maximum=10)
    beta_min: float = setting(0.1, "UnCL's beta at the end of training; 0.5 in the paper", minimum=0.001, maximum=10)
    fecl_weight: float = setting(0.1, "weight of FeCL after the ramp-up", minimum=0)
    fecl_variant: str = setting(
        "paper", "which FeCL: the paper's formula or the released code's", choices=("paper", "official")
    )
    fecl_temperature: float = setting(0.6, "FeCL's temperature tau", minimum=0.02, maximum=10)
    fecl_gamma: float = setting(
        2.0, "FeCL's focal exponent; to leave the focal weights out, switch them off", minimum=1, maximum=10
    )
    fecl_focal_positives: bool = setting(True, "whether FeCL weights positive pairs by (1 - S)^gamma")
    fecl_focal_negatives: bool = setting(True, "whether FeCL weights negative pairs by S^gamma")
    fecl_entropy_weighting: bool = setting(
        True, "whether FeCL weights each anchor by exp(entropy); in the paper variant"
    )
    fecl_hard_negatives: bool = setting(True, "whether FeCL adds the teacher's hardest negatives")
    fecl_num_hard_negatives: int = setting(16, "how many of the teacher's hardest negatives FeCL averages", minimum=1)
    fecl_embedding_channels: int = setting(64, "channels of FeCL's embeddings", minimum=2)

    def __post_init__(self) -> None:
        """Check what no single range can.

        Raises:
            UserError: when beta would rise instead of fall.
        """
        if self.beta_min > self.beta_max:
            raise UserError(f'"beta_min" ({self.beta_min}) must not be above "beta_max" ({self.beta_max}).')
