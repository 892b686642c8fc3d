from __future__ import annotations

import pytest

from benchmarks.label_efficiency.arm_settings import settings_in_force
from benchmarks.label_efficiency.arms import ARMS
from benchmarks.label_efficiency.find_arms import find_trainer_class

DYCON = find_trainer_class("nnUNetTrainerDyCON")


@pytest.mark.parametrize("name", ARMS)
def test_every_arm_has_a_trainer_that_knows_its_settings(name: str) -> None:
    arm = ARMS[name]
    in_force = settings_in_force(find_trainer_class(arm.trainer), arm.settings)
    assert {key: in_force[key] for key in arm.settings} == dict(arm.settings)


@pytest.mark.parametrize("name", ["GACPS", "CML"])
def test_baselines_of_the_paper(name: str) -> None:
    arm = ARMS[name]
    assert (arm.group, arm.trainer, arm.settings) == ("baseline", f"nnUNetTrainer{name}", {})
    assert arm.needs_unlabeled


def test_ablations_differ_from_the_defaults() -> None:
    defaults = settings_in_force(DYCON, {})
    for arm in ARMS.values():
        if arm.group == "ablation" and arm.kind == "trainer" and arm.name != "Oracle":
            assert settings_in_force(DYCON, arm.settings) != defaults, arm.name
