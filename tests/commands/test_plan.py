"""``nnunetv2_dycon plan``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.commands.main import main
from nnunetv2_dycon.training.dycon_settings import DyCONSettings
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerDyCON import nnUNetTrainerDyCON
from nnunetv2_dycon.training.settings import settings_table

if TYPE_CHECKING:
    from tests.conftest import Workspace

COMMAND = ["plan", "-d", "501", "-p", "nnUNetPlansSmall", "-o", "nnUNetPlansNew"]


@pytest.mark.usefixtures("workspace")
def test_the_trainer_gets_the_settings(
    make_trainer: Callable[..., nnUNetTrainer], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*COMMAND, "uncl_weight=2", "fecl_variant=official", "fecl_focal_positives=false"]) == 0
    assert "nnUNetv2_train 501 3d_fullres 0 -tr nnUNetTrainerDyCON -p nnUNetPlansNew" in capsys.readouterr().out
    expected = DyCONSettings(uncl_weight=2, fecl_variant="official", fecl_focal_positives=False)
    assert make_trainer(nnUNetTrainerDyCON, "nnUNetPlansNew").settings == expected


def test_without_settings_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan"]) == 0
    assert capsys.readouterr().out.strip() == settings_table(DyCONSettings)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "uncl_weight=2"], "-d (the dataset) and -o (the name of the new plans) are needed"),
        (["plan", "-d", "501", "uncl_weight=2"], "-d (the dataset) and -o"),
        ([*COMMAND, "uncl_weight"], '"uncl_weight" is no setting: write NAME=VALUE'),
        ([*COMMAND, "uncl_weight=much"], '"uncl_weight" must be a number'),
        ([*COMMAND, "weight=1"], '"weight" is not a setting'),
        ([*COMMAND, "uncl_weight=1", "-tr", "nnUNetTrainer"], "nnUNetTrainer is not a semi-supervised trainer"),
        ([*COMMAND, "uncl_weight=1", "-tr", "nnUNetTrainerNobody"], "nnUNetTrainerNobody"),
        ([*COMMAND, "uncl_weight=1", "-c", "4d"], "has no configuration 4d"),
    ],
)
def test_bad_arguments_are_named_and_nothing_is_written(
    workspace: Workspace, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert message in capsys.readouterr().err
    assert not (workspace.preprocessed / "nnUNetPlansNew.json").exists()
