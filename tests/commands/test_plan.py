"""``nnunetv2_dycon plan``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet, ResidualUNet
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.commands.main import main
from nnunetv2_dycon.experiment_planning.networks import NETWORKS
from nnunetv2_dycon.methods.dycon_settings import DyCONSettings
from nnunetv2_dycon.methods.settings import settings_table
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON

if TYPE_CHECKING:
    from tests.conftest import Workspace

# Where there is no ignore label, the setting for it is off.
DEFAULTS = DyCONSettings(ignored_voxels_as_unlabeled=False)
COMMAND = ["plan", "-d", "501", "-p", "nnUNetPlansSmall", "-o", "nnUNetPlansNew"]


@pytest.mark.usefixtures("workspace")
def test_the_trainer_gets_the_settings(
    make_trainer: Callable[..., nnUNetTrainer], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*COMMAND, "uncl_weight=2", "fecl_variant=official", "fecl_focal_positives=false"]) == 0
    assert "nnUNetv2_train 501 3d_fullres 0 -tr nnUNetTrainerDyCON -p nnUNetPlansNew" in capsys.readouterr().out
    expected = replace(DEFAULTS, uncl_weight=2, fecl_variant="official", fecl_focal_positives=False)
    assert make_trainer(nnUNetTrainerDyCON, "nnUNetPlansNew").settings == expected


@pytest.mark.usefixtures("workspace")
def test_settings_may_follow_the_configurations(make_trainer: Callable[..., nnUNetTrainer]) -> None:
    assert main([*COMMAND, "-c", "3d_fullres", "2d", "uncl_weight=2"]) == 0
    for configuration in ("3d_fullres", "2d"):
        assert make_trainer(nnUNetTrainerDyCON, "nnUNetPlansNew", configuration).settings.uncl_weight == 2


@pytest.mark.usefixtures("workspace")
def test_the_trainer_gets_the_network(
    make_trainer: Callable[..., nnUNetTrainer], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*COMMAND, "-c", "3d_fullres", "2d", "--network", "ResidualUNet"]) == 0
    output = capsys.readouterr().out
    assert "The patch (16 x 24 x 16) and batch (2) of 3d_fullres stay as they were for PlainConvUNet" in output
    assert "The patch (32 x 32) and batch (2) of 2d stay" in output
    assert "nnUNetv2_train 501 3d_fullres 0 -tr nnUNetTrainerDyCON -p nnUNetPlansNew" in output
    for configuration in ("3d_fullres", "2d"):
        trainer = make_trainer(nnUNetTrainerDyCON, "nnUNetPlansNew", configuration)
        trainer.initialize()
        assert isinstance(trainer.network, ResidualUNet)
        assert trainer.settings == DEFAULTS


@pytest.mark.usefixtures("workspace")
def test_the_trainer_gets_network_and_settings(make_trainer: Callable[..., nnUNetTrainer]) -> None:
    assert main([*COMMAND, "--network", "ResidualEncoderUNet", "uncl_weight=2"]) == 0
    trainer = make_trainer(nnUNetTrainerDyCON, "nnUNetPlansNew")
    trainer.initialize()
    assert isinstance(trainer.network, ResidualEncoderUNet)
    assert trainer.settings == replace(DEFAULTS, uncl_weight=2)


def test_networks_to_choose_from_are_those_that_can_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([*COMMAND, "--network", "Primus"])
    message = capsys.readouterr().err
    assert "invalid choice: 'Primus'" in message
    assert re.findall(r"\w+UNet\b", message.split("choose from")[1]) == list(NETWORKS)


def test_without_settings_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan"]) == 0
    assert capsys.readouterr().out.strip() == settings_table(DyCONSettings)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "uncl_weight=2"], "Give -d (the dataset) and -o (the name of the new plans), to write"),
        (["plan", "-d", "501", "uncl_weight=2"], "Give -o (the name of the new plans), to write"),
        (["plan", "-d", "501", "--network", "ResidualUNet"], "Give -o (the name of the new plans), to write"),
        ([*COMMAND, "--network", "ResidualUNet", "weight=1"], '"weight" is not a setting'),
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


def test_nnunet_s_own_trainer_takes_another_network(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], make_trainer: Callable[..., nnUNetTrainer]
) -> None:
    assert main([*COMMAND, "--network", "ResidualUNet", "-tr", "nnUNetTrainer"]) == 0
    assert "nnUNetv2_train 501 3d_fullres 0 -tr nnUNetTrainer -p nnUNetPlansNew" in capsys.readouterr().out
    trainer = make_trainer(nnUNetTrainer, "nnUNetPlansNew")
    trainer.initialize()
    assert isinstance(trainer.network, ResidualUNet)
    before, after = workspace.read_plans(), workspace.read_plans("nnUNetPlansNew")
    assert before["configurations"]["3d_fullres"].keys() == after["configurations"]["3d_fullres"].keys()
