from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.label_efficiency.arm_settings import settings_in_force
from benchmarks.label_efficiency.arms import ARMS, Arm
from benchmarks.label_efficiency.find_arms import (
    arm_of_definition,
    arms_of_file,
    find_arm,
    find_trainer_class,
    settings_of_arm,
)
from nnunetv2_dycon.exceptions import UserError
from tests.benchmarks.label_efficiency.conftest import EXAMPLE_METHOD, IMPORT_BASE

NEW_METHOD = f'''
{IMPORT_BASE}
class nnUNetTrainerShiny(nnUNetTrainerMeanTeacher):
    """A method that shines.

    More of it.
    """
'''


def test_a_trainer_that_nnunet_finds_is_an_arm_without_being_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nnUNetTrainerShiny.py").write_text(NEW_METHOD)
    monkeypatch.setenv("nnUNet_extTrainer", os.pathsep.join([str(tmp_path), os.environ["nnUNet_extTrainer"]]))
    arm = find_arm("Shiny")
    assert arm == Arm("Shiny", "nnUNetTrainerShiny", "A method that shines.", "added")
    assert arm.needs_unlabeled
    assert settings_in_force(find_trainer_class(arm.trainer), arm.settings)
    # One of nnU-Net's own does not learn from unlabeled cases.
    assert not find_arm("NoMirroring").needs_unlabeled


def test_listed_arms_come_first() -> None:
    assert find_arm("WithFeCL") is ARMS["WithFeCL"]


def test_neither_an_arm_nor_a_trainer() -> None:
    with pytest.raises(UserError, match=r"there is no Shiny, and nnU-Net finds no trainer nnUNetTrainerShiny.*BCP"):
        find_arm("Shiny")


def test_self_training_has_the_settings_of_the_training_before_it() -> None:
    of_dycon = settings_of_arm(ARMS["DyCON"])
    assert of_dycon["uncl_weight"] == 1.0
    named = {f"DyCON.{name}": value for name, value in of_dycon.items()}
    assert settings_of_arm(ARMS["DyCONSelfTraining"]) == settings_of_arm(ARMS["DyCONSelfTraining2"]) == named
    assert settings_of_arm(ARMS["SelfTraining"]) == settings_of_arm(ARMS["nnUNet"]) == {}


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
        (["A", "nnUNetTrainerNope"], "nnUNetTrainerNope"),
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
    file.write_text(IMPORT_BASE)
    with pytest.raises(UserError, match="defines no trainer"):
        arms_of_file(file)
