"""What the tables of results call the arms."""

from __future__ import annotations

from benchmarks.label_efficiency.arms import (
    ALL_COMPONENTS_ARM,
    FECL_ARM,
    REFERENCE_ARM,
    SELF_TRAINING_ARM,
    TWO_ROUNDS_ARM,
)

# An earlier form of DyCON with pseudo-labels, whose Dice had a gradient through its denominator.
HARD_ARM = "HardTargets"
LABELED_BOXES_ARM = "LabeledBoxes"
TITLES = {
    REFERENCE_ARM: "nnU-Net",
    FECL_ARM: "DyCON with FeCL",
    HARD_ARM: "DyCON, hard targets, earlier form",
    "PseudoLabels": "DyCON with pseudo-labels",
    "CrossEntropy": "DyCON with cross-entropy",
    LABELED_BOXES_ARM: "DyCON, labeled boxes only",
    SELF_TRAINING_ARM: "DyCON, then self-training",
    TWO_ROUNDS_ARM: "DyCON, then two rounds of self-training",
    ALL_COMPONENTS_ARM: "DyCON, then self-training, all components",
    "SelfTraining": "nnU-Net, then self-training",
}
# What one training or more changed in DyCON with FeCL, by the arm's name in the records.
PARTS_OF_DYCON = {
    "SoftUnCLOnly": "without FeCL",
    "SoftFeCLOnly": "without UnCL",
    "SoftNoCopyPaste": "without labeled boxes in unlabeled patches",
    "SoftVoxelMean": "UnCL averaged over voxels",
    "SoftBeta0.5": "beta fixed at 0.5",
    "SoftBeta1": "beta fixed at 1",
    "SoftBeta5": "beta fixed at 5",
    "SoftBetaPaper": "the paper's beta, 5 to 0.5",
    "SoftNoFocalPositives": "FeCL without focal positives",
    "SoftNoFocalNegatives": "FeCL without focal negatives",
    "SoftNoEntropyWeighting": "FeCL without entropy weights",
    "SoftNoHardNegatives": "FeCL without the teacher's hard negatives",
    "SoftFeCLOfficial": "the released code's FeCL",
    "SoftReleasedWeights": "the released weights and schedules",
    "SoftOracle": "FeCL sees the hidden labels: not a fair method",
}


def title(arm: str) -> str:
    """The arm's name for a reader: a title where it has one."""
    return TITLES.get(arm) or PARTS_OF_DYCON.get(arm, arm)
