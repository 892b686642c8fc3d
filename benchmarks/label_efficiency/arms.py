"""Arms: what is compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from nnunetv2_dycon.training.settings import Value

REFERENCE_ARM = "nnUNet"
METHOD_ARM = "DyCON"
_TRAINERS = "nnunetv2_dycon.training.nnUNetTrainer"
_PLAIN_TRAINER = "nnunetv2.training.nnUNetTrainer.nnUNetTrainer:nnUNetTrainer"
_ORACLE = "benchmarks.label_efficiency.oracle:nnUNetTrainerDyCONOracle"

# The released training: UnCL at half weight with the whole entropy term, beta from 5 to 0.5, the released FeCL, no
# warm-up, no ramp and no mixed crops, the student deployed.
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
    "copy_paste_fraction": 0.0,
    "deployed_network": "student",
}


@dataclass(frozen=True)
class Arm:
    """A trainer with settings.

    Attributes:
        name: in tables and folders.
        trainer: ``MODULE:CLASS``, ``FILE.py:CLASS`` or the name of a trainer that nnU-Net finds. It is looked up when
            the arm is run.
        description: for the report.
        group: ``baseline``, ``method`` or ``ablation``.
        settings: the trainer's settings that differ from its defaults.
        kind: ``trainer``: one training; ``self-training``: a training on the labeled cases, and one on these and the
            unlabeled ones with predicted labels.
        needs_unlabeled: whether the arm can do nothing where all cases are labeled.
    """

    name: str
    trainer: str
    description: str
    group: Literal["baseline", "method", "ablation", "added"]
    settings: Mapping[str, Value] = field(default_factory=dict)
    kind: Literal["trainer", "self-training"] = "trainer"
    needs_unlabeled: bool = True


def _trainer(name: str) -> str:
    return f"{_TRAINERS}.{name}:{name}"


def _baseline(name: str, description: str) -> Arm:
    return Arm(name, _trainer(f"nnUNetTrainer{name}"), description, "baseline")


def _ablation(name: str, description: str, **settings: Value) -> Arm:
    return Arm(name, _trainer("nnUNetTrainerDyCON"), description, "ablation", settings)


ARMS: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        Arm(
            REFERENCE_ARM,
            _PLAIN_TRAINER,
            "plain nnU-Net on the labeled cases",
            "baseline",
            needs_unlabeled=False,
        ),
        Arm(
            "SelfTraining",
            _PLAIN_TRAINER,
            "nnU-Net, trained again with its own predictions of the unlabeled cases as labels",
            "baseline",
            kind="self-training",
        ),
        _baseline("MeanTeacher", "mean squared difference of the probabilities to a mean teacher"),
        _baseline("UAMT", "mean teacher where the teacher is certain"),
        _baseline("BCP", "bidirectional copy-paste between labeled and unlabeled crops"),
        _baseline("CoTraining", "two networks supervising each other"),
        Arm(METHOD_ARM, _trainer("nnUNetTrainerDyCON"), "DyCON with its defaults", "method"),
        Arm("DyCONCoTraining", _trainer("nnUNetTrainerDyCONCoTraining"), "DyCON's losses in a co-training", "method"),
        _ablation("UnCLOnly", "DyCON without FeCL", fecl_weight=0.0),
        _ablation("FeCLOnly", "DyCON without UnCL", uncl_weight=0.0),
        _ablation("NoCopyPaste", "DyCON without labeled boxes in unlabeled patches", copy_paste_fraction=0.0),
        _ablation("VoxelMean", "DyCON with UnCL averaged over voxels", uncl_normalization="voxels", uncl_weight=10.0),
        _ablation("Beta0.5", "DyCON with beta fixed at 0.5", beta_max=0.5, beta_min=0.5),
        _ablation("Beta1", "DyCON with beta fixed at 1", beta_max=1.0, beta_min=1.0),
        _ablation("Beta5", "DyCON with beta fixed at 5", beta_max=5.0, beta_min=5.0),
        _ablation("BetaPaper", "DyCON with the paper's beta, 5 to 0.5", beta_max=5.0, beta_min=0.5),
        _ablation("NoFocalPositives", "DyCON, FeCL without focal positives", fecl_focal_positives=False),
        _ablation("NoFocalNegatives", "DyCON, FeCL without focal negatives", fecl_focal_negatives=False),
        _ablation("NoEntropyWeighting", "DyCON, FeCL without entropy weights", fecl_entropy_weighting=False),
        _ablation("NoHardNegatives", "DyCON, FeCL without the teacher's hard negatives", fecl_hard_negatives=False),
        _ablation("FeCLOfficial", "DyCON with the released code's FeCL", fecl_variant="official"),
        _ablation("ReleasedWeights", "DyCON with the released weights and schedules", **_RELEASED),
        Arm("Oracle", _ORACLE, "DyCON whose FeCL sees the hidden labels: not a fair method", "ablation"),
    )
}
