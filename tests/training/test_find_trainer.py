"""Trainers are found by nnU-Net's own function."""

from __future__ import annotations

import pickle

import pytest

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON
from nnunetv2_dycon.training.find_trainer import find_semi_supervised_trainer


def test_the_trainer_of_the_installed_package_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    trainer = find_semi_supervised_trainer("nnUNetTrainerDyCON")
    assert trainer is nnUNetTrainerDyCON
    assert pickle.loads(pickle.dumps(trainer)) is trainer
    assert capsys.readouterr().out == ""


def test_a_name_that_nobody_has_is_refused() -> None:
    with pytest.raises(UserError, match="nnUNetTrainerNobody"):
        find_semi_supervised_trainer("nnUNetTrainerNobody")


def test_a_supervised_trainer_is_refused() -> None:
    with pytest.raises(UserError, match="nnUNetTrainer_5epochs is not a semi-supervised trainer"):
        find_semi_supervised_trainer("nnUNetTrainer_5epochs")


@pytest.mark.parametrize("name", ["torch", "nnUNetDataLoader"])
def test_a_name_in_a_trainer_file_that_is_no_trainer_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"{name} is not a trainer"):
        find_semi_supervised_trainer(name)
