from __future__ import annotations

from benchmarks.label_efficiency.arm_settings import plans_of_arm
from benchmarks.label_efficiency.arms import ARMS
from benchmarks.label_efficiency.find_arms import find_trainer_class

DYCON = find_trainer_class("nnUNetTrainerDyCON")


def test_plans_of_an_arm_carry_its_settings_under_its_name() -> None:
    plans = {"plans_name": "nnUNetPlansBenchmark", "configurations": {"3d_fullres": {"batch_size": 2}}}
    changed = plans_of_arm(plans, "3d_fullres", ARMS["Beta1"], DYCON)
    assert changed["plans_name"] == "nnUNetPlansBenchmark_Beta1"
    assert changed["configurations"]["3d_fullres"]["dycon"] == {"beta_max": 1.0, "beta_min": 1.0}
    assert "dycon" not in plans["configurations"]["3d_fullres"]


def test_plans_of_a_trainer_of_nnunet_have_no_settings() -> None:
    plans = {"plans_name": "nnUNetPlansBenchmark", "configurations": {"3d_fullres": {"batch_size": 2}}}
    changed = plans_of_arm(plans, "3d_fullres", ARMS["nnUNet"], find_trainer_class(ARMS["nnUNet"].trainer))
    assert changed == {**plans, "plans_name": "nnUNetPlansBenchmark_nnUNet"}
