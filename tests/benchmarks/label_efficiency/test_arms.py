from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.label_efficiency.arms import ARMS
from benchmarks.label_efficiency.find_trainer_class import find_trainer_class
from benchmarks.label_efficiency.methods import arm_of_definition, arms_of_file
from benchmarks.label_efficiency.settings import plans_of_arm, settings_in_force
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON
from tests.benchmarks.label_efficiency.conftest import EXAMPLE_METHOD


@pytest.mark.parametrize("name", ARMS)
def test_every_arm_has_a_trainer_that_knows_its_settings(name: str) -> None:
    arm = ARMS[name]
    in_force = settings_in_force(find_trainer_class(arm.trainer), arm.settings)
    assert {key: in_force[key] for key in arm.settings} == dict(arm.settings)


def test_ablations_differ_from_the_defaults() -> None:
    defaults = settings_in_force(nnUNetTrainerDyCON, {})
    for arm in ARMS.values():
        if arm.group == "ablation" and arm.name != "Oracle":
            assert settings_in_force(nnUNetTrainerDyCON, arm.settings) != defaults, arm.name


def test_plans_of_an_arm_carry_its_settings_under_its_name() -> None:
    plans = {"plans_name": "nnUNetPlansBenchmark", "configurations": {"3d_fullres": {"batch_size": 2}}}
    changed = plans_of_arm(plans, "Beta1", nnUNetTrainerDyCON, ARMS["Beta1"].settings)
    assert changed["plans_name"] == "nnUNetPlansBenchmark_Beta1"
    assert changed["configurations"]["3d_fullres"]["dycon"] == {"beta_max": 1.0, "beta_min": 1.0}
    assert "dycon" not in plans["configurations"]["3d_fullres"]


def test_example_file_is_an_arm() -> None:
    (arm,) = arms_of_file(EXAMPLE_METHOD)
    assert arm.name == "EntropyMinimisation"
    assert arm.description == "The student is to be certain on unlabeled patches."
    trainer_class = find_trainer_class(arm.trainer)
    assert trainer_class.__name__ == "nnUNetTrainerEntropyMinimisation"
    assert find_trainer_class(arm.trainer) is trainer_class


def test_arm_from_the_command_line() -> None:
    arm = arm_of_definition(["Heavy", ARMS["DyCON"].trainer, "uncl_weight=10", "fecl_hard_negatives=false"])
    assert (arm.name, arm.settings) == ("Heavy", {"uncl_weight": 10, "fecl_hard_negatives": False})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["Alone"], "needs the name of an arm and a trainer"),
        (["A", ARMS["DyCON"].trainer, "uncl_wait=1"], "uncl_weight"),
        (["A", ARMS["nnUNet"].trainer, "uncl_weight=1"], "has no settings"),
        (["A", "nnunetv2_dycon.no_such_module:X"], "cannot be imported"),
        (["A", "nnunetv2_dycon.exceptions:UserError"], "has no trainer UserError"),
        (["A", "/no/such/file.py:X"], "there is no file"),
    ],
)
def test_definitions_that_make_no_sense(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        arm_of_definition(words)


def test_file_without_a_method(tmp_path: Path) -> None:
    file = tmp_path / "nothing.py"
    file.write_text(
        "from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerSemiSupervised import nnUNetTrainerSemiSupervised\n"
    )
    with pytest.raises(UserError, match="defines no subclass"):
        arms_of_file(file)
