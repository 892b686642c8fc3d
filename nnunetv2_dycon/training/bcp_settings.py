"""Settings of nnUNetTrainerBCP: the ``"bcp"`` section of a configuration."""

from __future__ import annotations

from dataclasses import dataclass

from nnunetv2_dycon.training.settings import SemiSupervisedSettings, setting


@dataclass(frozen=True)
class BCPSettings(SemiSupervisedSettings):
    """Weights, box and pseudo-labels of bidirectional copy-paste (arXiv:2305.00673, with departures as documented)."""

    bcp_weight: float = setting(1.0, "weight of the loss on mixed patches after the ramp-up", minimum=0)
    unlabeled_region_weight: float = setting(
        0.5, "factor on that loss where a mixed patch shows the unlabeled scan; alpha in the paper", minimum=0
    )
    box_fraction: float = setting(
        0.667,
        "length of the box along each axis as a fraction of the patch's; 2/3 in the paper",
        minimum=0.01,
        maximum=1,
    )
    largest_component: bool = setting(
        False,
        "whether pseudo-labels keep the largest connected component of each class alone, as in the paper; it is "
        "computed on the CPU and slows each step down",
    )
