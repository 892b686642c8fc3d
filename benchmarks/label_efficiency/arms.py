"""Arms: what is compared, each a trainer with settings."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from benchmarks.label_efficiency.presets import PLANS_IDENTIFIER
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.experiment_planning.plans import parse_assignments
from nnunetv2_dycon.methods.settings import Value
from nnunetv2_dycon.training.find_trainer import find_trainer
from nnunetv2_dycon.training.trainer import nnUNetTrainerSemiSupervised

REFERENCE_ARM = "nnUNet"
METHOD_ARM = "DyCON"
FECL_ARM = "WithFeCL"
SELF_TRAINING_ARM = "DyCONSelfTraining"
TWO_ROUNDS_ARM = "DyCONSelfTraining2"
ALL_COMPONENTS_ARM = "AllComponents"
_PREFIX = "nnUNetTrainer"

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
        trainer: for :func:`find_trainer_class`; looked up when the arm is run.
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
    return Arm(name, f"{_PREFIX}{name}", description, "baseline")


def _ablation(name: str, description: str, **settings: Value) -> Arm:
    return Arm(name, "nnUNetTrainerDyCON", description, "ablation", settings)


def _with_fecl(name: str, description: str, **settings: Value) -> Arm:
    return _ablation(name, description, fecl_weight=0.1, **settings)


ARMS: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        Arm(REFERENCE_ARM, _PREFIX, "plain nnU-Net on the labeled cases", "baseline", needs_unlabeled=False),
        Arm(
            "SelfTraining",
            _PREFIX,
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
            _PREFIX,
            "nnU-Net, trained with DyCON's predictions of the unlabeled cases as labels",
            "method",
            kind="self-training",
            first_arm=METHOD_ARM,
        ),
        Arm(
            TWO_ROUNDS_ARM,
            _PREFIX,
            f"a second round: nnU-Net, trained with the predictions of {SELF_TRAINING_ARM} as labels",
            "method",
            kind="self-training",
            first_arm=SELF_TRAINING_ARM,
        ),
        Arm(
            ALL_COMPONENTS_ARM,
            _PREFIX,
            f"as {SELF_TRAINING_ARM}, with the predictions as they are",
            "ablation",
            kind="self-training",
            first_arm=METHOD_ARM,
            all_components=True,
        ),
        _ablation("HardTargets", "DyCON with the teacher's classes as targets", uncl_distance="pseudo_labels"),
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


def find_trainer_class(reference: str) -> type[nnUNetTrainer]:
    """Look up the trainer of an arm.

    Args:
        reference: the name of a trainer that nnU-Net finds, ``FILE.py:CLASS`` or ``MODULE:CLASS``.

    Raises:
        UserError: if there is no such module, file or trainer.
    """
    place, _, name = reference.rpartition(":")
    if not place:
        return find_trainer(name)
    if place.endswith(".py"):
        module = _import_file(Path(place))
    else:
        try:
            module = importlib.import_module(place)
        except ModuleNotFoundError as error:
            raise UserError(f"the trainer {name} cannot be imported: {error}") from error
    trainer_class = getattr(module, name, None)
    if not (isinstance(trainer_class, type) and issubclass(trainer_class, nnUNetTrainer)):
        raise UserError(f"{place} has no trainer {name}: name a subclass of nnUNetTrainer")
    return trainer_class


def find_arm(name: str) -> Arm:
    """An arm by its name.

    Args:
        name: a key of :data:`ARMS`, or X for a trainer nnUNetTrainerX that nnU-Net finds, which is run with its
            defaults: a new method of the package, or a trainer in a folder of ``nnUNet_extTrainer``.

    Raises:
        UserError: if there is neither.
    """
    if name in ARMS:
        return ARMS[name]
    trainer = f"{_PREFIX}{name}"
    try:
        trainer_class = find_trainer(trainer)
    except UserError as error:
        raise UserError(
            f"--arms: there is no {name}, and nnU-Net finds no trainer {trainer}. There are {', '.join(ARMS)}"
        ) from error
    return _added_arm(trainer_class, trainer)


def arms_of_file(file: Path) -> list[Arm]:
    """One arm for each method that a file defines.

    Args:
        file: Python file with trainers, as trainers_of makes them of a method, or subclasses of
            nnUNetTrainerSemiSupervised. An arm is named after the class, without nnUNetTrainer; the first line of the
            docstring is its description. Trainers of other lengths than nnU-Net's own are left out.

    Returns:
        The arms, in the order of the file.

    Raises:
        UserError: if the file is not there or defines none.
    """
    module = _import_file(file)
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, nnUNetTrainerSemiSupervised)
        and value.__module__ == module.__name__
        and value.training_length is None
    ]
    if not classes:
        raise UserError(f"{file} defines no trainer: make one of a method with globals().update(trainers_of(METHOD))")
    return [_added_arm(each, f"{file.resolve()}:{each.__name__}") for each in classes]


def arm_of_definition(words: list[str]) -> Arm:
    """An arm from the command line.

    Args:
        words: name, trainer (see :func:`find_trainer_class`), then settings as NAME=VALUE.

    Raises:
        UserError: if words are missing, there is no such trainer, or a setting is unknown or out of range.
    """
    if len(words) < 2:
        raise UserError("--define needs the name of an arm and a trainer, then settings as NAME=VALUE")
    name, trainer, *assignments = words
    settings = parse_assignments(assignments)
    trainer_class = find_trainer_class(trainer)
    settings_in_force(trainer_class, settings, f"--define {name}")
    description = " ".join([trainer_class.__name__, *assignments])
    needs_unlabeled = issubclass(trainer_class, nnUNetTrainerSemiSupervised)
    return Arm(name, trainer, description, "added", settings, needs_unlabeled=needs_unlabeled)


def settings_in_force(
    trainer_class: type[nnUNetTrainer], changes: Mapping[str, Value], where: str | None = None
) -> dict[str, Value]:
    """The value of each setting of a training, defaults filled in; none for a trainer of nnU-Net.

    Args:
        trainer_class: whose settings they are.
        changes: those that differ from the defaults.
        where: they were given, for messages; None for the trainer's name.

    Raises:
        UserError: for a setting that the trainer does not have or that is out of range.
    """
    where = f"the settings of {trainer_class.__name__}" if where is None else where
    if issubclass(trainer_class, nnUNetTrainerSemiSupervised):
        return dataclasses.asdict(trainer_class.method_class.settings_class.from_configuration(dict(changes), where))
    if changes:
        raise UserError(f"{where}: {trainer_class.__name__} has no settings, but is given {', '.join(changes)}")
    return {}


def plans_of_arm(
    plans: dict[str, Any], configuration: str, arm: Arm, trainer_class: type[nnUNetTrainer]
) -> dict[str, Any]:
    """A copy of the benchmark's plans that carries the settings of an arm, under a name that no other arm has."""
    plans = copy.deepcopy(plans)
    plans["plans_name"] = f"{PLANS_IDENTIFIER}_{arm.name}"
    if issubclass(trainer_class, nnUNetTrainerSemiSupervised):
        plans["configurations"][configuration][trainer_class.method_class.settings_section] = dict(arm.settings)
    return plans


def _added_arm(trainer_class: type[nnUNetTrainer], trainer: str) -> Arm:
    return Arm(
        name=trainer_class.__name__.removeprefix(_PREFIX),
        trainer=trainer,
        description=(trainer_class.__doc__ or "").strip().split("\n")[0],
        group="added",
        needs_unlabeled=issubclass(trainer_class, nnUNetTrainerSemiSupervised),
    )


def _import_file(file: Path) -> ModuleType:
    """Import a Python file that lies anywhere; the same file gives the same module."""
    if not file.is_file():
        raise UserError(f"there is no file {file}")
    file = file.resolve()
    name = f"label_efficiency_method_{file.stem}"
    known = sys.modules.get(name)
    if known is not None and known.__file__ == str(file):
        return known
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UserError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # Before it is executed, as dataclasses look their module up.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
