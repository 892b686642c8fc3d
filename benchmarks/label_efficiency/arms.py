"""The arms that are compared, each a trainer with settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from nnunetv2_dycon.methods.settings import Value

REFERENCE_ARM = "nnUNet"
METHOD_ARM = "DyCON"
FECL_ARM = "WithFeCL"
SELF_TRAINING_ARM = "DyCONSelfTraining"
TWO_ROUNDS_ARM = "DyCONSelfTraining2"
ALL_COMPONENTS_ARM = "AllComponents"
TRAINER_PREFIX = "nnUNetTrainer"

# The released training: UnCL at half weight with the whole entropy term, beta from 5 to 0.5, the released FeCL, no
# warm-up, no ramp, no waiting and no mixed crops, the student deployed.
_RELEASED: Mapping[str, Value] = {
    "uncl_weight": 0.5,
    "uncl_normalization": "voxels",
    "uncl_entropy_weight": 1.0,
    "beta_max": 5.0,
    "beta_min": 0.5,
    "fecl_weight": 0.5,
    "fecl_variant": "official",
    "warmup_fraction": 0.0,
    "rampup_fraction": 0.0,
    "wait_for_labels": False,
    "copy_paste_fraction": 0.0,
    "cutmix_fraction": 0.0,
    "deployed_network": "student",
}
# DyCON's boxes until November 2026.
_LABELED_BOXES: Mapping[str, Value] = {"cutmix_fraction": 0.0, "copy_paste_share": 1.0}


@dataclass(frozen=True)
class Arm:
    """A trainer with settings.

    Attributes:
        name: in tables and folders.
        trainer: for :func:`~benchmarks.label_efficiency.find_arms.find_trainer_class`; looked up when the arm is run.
        description: for the report.
        group: ``baseline``, ``method``, ``ablation``, or ``added`` for what :data:`ARMS` does not have.
        settings: the trainer's settings that differ from its defaults.
        kind: ``trainer``: one training; ``self-training``: a training on the labeled cases, and one on these and the
            unlabeled ones with predicted labels.
        first_arm: of self-training, the arm whose training predicts the labels; it has the same seed.
        all_components: of self-training, whether predictions become labels as they are; see the package's
            ``self-train --all_components``.
        needs_unlabeled: whether the arm can do nothing where all cases are labeled.
    """

    name: str
    trainer: str
    description: str
    group: Literal["baseline", "method", "ablation", "added"]
    settings: Mapping[str, Value] = field(default_factory=dict)
    kind: Literal["trainer", "self-training"] = "trainer"
    first_arm: str = REFERENCE_ARM
    all_components: bool = False
    needs_unlabeled: bool = True


def _baseline(name: str, description: str) -> Arm:
    return Arm(name, f"{TRAINER_PREFIX}{name}", description, "baseline")


def _ablation(name: str, description: str, **settings: Value) -> Arm:
    return Arm(name, "nnUNetTrainerDyCON", description, "ablation", settings)


def _with_fecl(name: str, description: str, **settings: Value) -> Arm:
    return _ablation(name, description, fecl_weight=0.1, **settings)


ARMS: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        Arm(REFERENCE_ARM, TRAINER_PREFIX, "plain nnU-Net on the labeled cases", "baseline", needs_unlabeled=False),
        Arm(
            "SelfTraining",
            TRAINER_PREFIX,
            "nnU-Net, trained again with its own predictions of the unlabeled cases as labels",
            "baseline",
            kind="self-training",
        ),
        _baseline("MeanTeacher", "mean squared difference of the probabilities to a mean teacher"),
        _baseline("UAMT", "mean teacher where the teacher is certain"),
        _baseline("BCP", "bidirectional copy-paste between labeled and unlabeled crops"),
        _baseline("CoTraining", "two networks supervising each other"),
        _baseline("GACPS", "cross pseudo supervision with gradient-aware losses (GALoss)"),
        _baseline("CML", "cross-view mutual learning of two networks with different decoders"),
        Arm(METHOD_ARM, "nnUNetTrainerDyCON", "DyCON with its defaults", "method"),
        Arm("DyCONCoTraining", "nnUNetTrainerDyCONCoTraining", "DyCON's losses in a co-training", "method"),
        Arm(
            SELF_TRAINING_ARM,
            TRAINER_PREFIX,
            "nnU-Net, trained with DyCON's predictions of the unlabeled cases as labels",
            "method",
            kind="self-training",
            first_arm=METHOD_ARM,
        ),
        Arm(
            TWO_ROUNDS_ARM,
            TRAINER_PREFIX,
            f"a second round: nnU-Net, trained with the predictions of {SELF_TRAINING_ARM} as labels",
            "method",
            kind="self-training",
            first_arm=SELF_TRAINING_ARM,
        ),
        Arm(
            ALL_COMPONENTS_ARM,
            TRAINER_PREFIX,
            f"as {SELF_TRAINING_ARM}, with the predictions as they are",
            "ablation",
            kind="self-training",
            first_arm=METHOD_ARM,
            all_components=True,
        ),
        _ablation("PseudoLabels", "DyCON with the teacher's classes as targets", uncl_distance="pseudo_labels"),
        _ablation(
            "CrossEntropy",
            "DyCON with a cross-entropy beside UnCL's distance, where student and teacher are certain",
            uncl_cross_entropy_weight=0.5,
        ),
        _ablation("LabeledBoxes", "DyCON with a labeled box in every unlabeled patch, and no others", **_LABELED_BOXES),
        _ablation("VoxelMean", "DyCON with UnCL averaged over voxels", uncl_normalization="voxels", uncl_weight=10.0),
        _ablation("NoBoxes", "DyCON without boxes in unlabeled patches", copy_paste_fraction=0.0, cutmix_fraction=0.0),
        _ablation("Beta0.5", "DyCON with beta fixed at 0.5", beta_max=0.5, beta_min=0.5),
        _ablation("Beta1", "DyCON with beta fixed at 1", beta_max=1.0, beta_min=1.0),
        _ablation("Beta5", "DyCON with beta fixed at 5", beta_max=5.0, beta_min=5.0),
        _ablation("BetaPaper", "DyCON with the paper's beta, 5 to 0.5", beta_max=5.0, beta_min=0.5),
        _with_fecl(FECL_ARM, "DyCON with FeCL"),
        _with_fecl("FeCLOnly", "FeCL without UnCL", uncl_weight=0.0),
        _with_fecl("NoFocalPositives", "DyCON with FeCL without focal positives", fecl_focal_positives=False),
        _with_fecl("NoFocalNegatives", "DyCON with FeCL without focal negatives", fecl_focal_negatives=False),
        _with_fecl("NoEntropyWeighting", "DyCON with FeCL without entropy weights", fecl_entropy_weighting=False),
        _with_fecl("NoHardNegatives", "DyCON with FeCL without the teacher's negatives", fecl_hard_negatives=False),
        _with_fecl("FeCLOfficial", "DyCON with the released code's FeCL", fecl_variant="official"),
        _ablation("ReleasedWeights", "DyCON with the released weights and schedules", **_RELEASED),
        Arm(
            "Oracle",
            "benchmarks.label_efficiency.oracle:nnUNetTrainerDyCONOracle",
            "DyCON with a FeCL that sees the hidden labels: not a fair method",
            "ablation",
            {"fecl_weight": 0.1},
        ),
    )
}
