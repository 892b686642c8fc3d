"""The settings of DyCON."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.methods.settings import LARGEST_WEIGHT, MethodSettings, setting


@dataclass(frozen=True)
class DyCONSettings(MethodSettings):
    """DyCON's two losses: weights, schedules and switches (arXiv:2504.04566, with departures as documented)."""

    cutmix_fraction: float = setting(
        0.5,
        "length, along each axis and as a fraction of the patch's, of the box of the next unlabeled patch of the batch "
        "that is pasted into each unlabeled one in the student's view, wrapping around; 0: none, as in the paper",
        minimum=0,
        maximum=1,
        before_it_existed=0.0,
    )
    copy_paste_fraction: float = setting(
        0.75,
        "length, likewise, of the box of a labeled patch that is then pasted into unlabeled ones; 0: none, as in the "
        "paper",
        minimum=0,
        maximum=1,
    )
    copy_paste_share: float = setting(
        0.5,
        "share of the unlabeled patches that get a box of a labeled one; one that is alone in its batch always does, "
        "unless this share or cutmix_fraction is 0",
        minimum=0,
        maximum=1,
        before_it_existed=1.0,
    )
    uncl_weight: float = setting(1.0, "weight of UnCL after the ramp-up", minimum=0, maximum=LARGEST_WEIGHT)
    uncl_distance: Literal["probabilities", "pseudo_labels"] = setting(
        "probabilities",
        "what UnCL measures: the squared difference of the probabilities, as in the paper, or that to the teacher's "
        "most probable classes and the cross-entropy with them",
        choices=("probabilities", "pseudo_labels"),
    )
    uncl_confidence: float = setting(
        0.0,
        "least probability of the teacher's class with which a voxel counts in UnCL of pseudo-labels; 0: all count",
        minimum=0,
        maximum=1,
    )
    uncl_normalization: Literal["voxels", "classes"] = setting(
        "classes",
        "how UnCL's squared difference is averaged: over voxels, as in the paper, or as a Dice loss of each class, for "
        "which the size of a structure does not matter",
        choices=("voxels", "classes"),
    )
    uncl_entropy_weight: float = setting(
        0.02,
        "factor on the entropy term beta * mean(H_student + H_teacher) beside the squared difference; 1 in the paper",
        minimum=0,
        maximum=LARGEST_WEIGHT,
    )
    uncl_cross_entropy_weight: float = setting(
        0.0,
        "factor on the cross-entropy with the teacher's probabilities beside the squared difference, where student and "
        "teacher are certain; 0 in the paper",
        minimum=0,
        maximum=LARGEST_WEIGHT,
    )
    beta_max: float = setting(1.0, "UnCL's beta at the start of training; 5 in the paper", minimum=0.001, maximum=10)
    beta_min: float = setting(0.1, "UnCL's beta at the end of training; 0.5 in the paper", minimum=0.001, maximum=10)
    fecl_weight: float = setting(
        0.0,
        "weight of FeCL after the ramp-up, such as 0.1; 0: none, which saves its time",
        minimum=0,
        maximum=LARGEST_WEIGHT,
        before_it_existed=0.1,
    )
    fecl_variant: Literal["paper", "official"] = setting(
        "paper", "which FeCL: the paper's formula or the released code's", choices=("paper", "official")
    )
    fecl_temperature: float = setting(0.6, "FeCL's temperature tau", minimum=0.02, maximum=10)
    fecl_gamma: float = setting(
        2.0, "FeCL's focal exponent; to leave the focal weights out, switch them off", minimum=1, maximum=10
    )
    fecl_focal_positives: bool = setting(True, "whether FeCL weights positive pairs by (1 - cosine)^gamma")
    fecl_focal_negatives: bool = setting(True, "whether FeCL weights negative pairs by cosine^gamma")
    fecl_entropy_weighting: bool = setting(
        True, "whether FeCL weights each anchor by exp(entropy); in the paper variant"
    )
    fecl_hard_negatives: bool = setting(True, "whether FeCL adds the teacher's hardest negatives")
    fecl_num_hard_negatives: int = setting(
        16, "how many of the teacher's hardest negatives FeCL averages", minimum=1, maximum=100_000
    )
    fecl_embedding_channels: int = setting(64, "channels of FeCL's embeddings", minimum=2, maximum=4096)

    def __post_init__(self) -> None:
        """Check what no single range can.

        Raises:
            UserError: when beta would rise instead of fall.
        """
        if self.beta_min > self.beta_max:
            raise UserError(f'"beta_min" ({self.beta_min}) must not be above "beta_max" ({self.beta_max}).')

    def without_effect(self) -> list[str]:
        """How FeCL is made, where it is off, and what the other distance of UnCL takes. See MethodSettings."""
        fecl = [field.name for field in fields(self) if field.name.startswith("fecl_") and field.name != "fecl_weight"]
        soft = ["uncl_normalization", "uncl_entropy_weight", "uncl_cross_entropy_weight"]
        uncl = soft if self.uncl_distance == "pseudo_labels" else ["uncl_confidence"]
        return uncl + (fecl if self.fecl_weight == 0 else [])
