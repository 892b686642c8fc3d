"""Plans with other settings or another network."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nnunetv2_dycon.datasets.planned_dataset import read_planned_dataset
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.experiment_planning.plans import parse_assignments, write_plans
from nnunetv2_dycon.methods.dycon_settings import DyCONSettings

if TYPE_CHECKING:
    from tests.conftest import Workspace


def write(
    identifier: str = "nnUNetPlansNew",
    plans: str = "nnUNetPlansSmall",
    configurations: tuple[str, ...] = ("3d_fullres",),
    overwrite: bool = False,
    network: str | None = None,
    **changes: object,
) -> Path:
    return write_plans(
        read_planned_dataset("501", plans),
        configurations,
        identifier,
        settings_section="dycon",
        settings_class=DyCONSettings,
        changes=changes,
        network=network,
        overwrite=overwrite,
    )


def test_values_are_json_or_text() -> None:
    texts = ["a=0.5", "b=true", "c=null", "d=official", "e=2", 'f="two"', "g=x=y", "h="]
    assert parse_assignments(texts) == {
        "a": 0.5,
        "b": True,
        "c": None,
        "d": "official",
        "e": 2,
        "f": "two",
        "g": "x=y",
        "h": "",
    }


def test_a_text_without_a_value_is_refused() -> None:
    with pytest.raises(UserError, match='"uncl_weight" is no setting: write NAME=VALUE'):
        parse_assignments(["a=1", "uncl_weight"])


def test_a_name_that_comes_twice_is_refused() -> None:
    with pytest.raises(UserError, match='"a" is given twice'):
        parse_assignments(["a=1", "a=2"])


def test_the_plans_differ_in_name_and_settings_only(workspace: Workspace) -> None:
    before = workspace.read_plans()
    target = write(uncl_weight=2, beta_max=5)
    assert target == workspace.preprocessed / "nnUNetPlansNew.json"
    plans = json.loads(target.read_text())
    assert plans.pop("plans_name") == "nnUNetPlansNew"
    assert plans["configurations"]["3d_fullres"].pop("dycon") == {"uncl_weight": 2, "beta_max": 5}
    assert "dycon" not in plans["configurations"]["2d"]
    assert workspace.read_plans() == before
    before.pop("plans_name")
    assert plans == before


@pytest.mark.usefixtures("workspace")
def test_the_plans_that_were_read_are_not_changed() -> None:
    dataset = read_planned_dataset("501", "nnUNetPlansSmall")
    before = copy.deepcopy(dataset)
    write_plans(
        dataset,
        ["2d"],
        "nnUNetPlansNew",
        settings_section="dycon",
        settings_class=DyCONSettings,
        changes={"uncl_weight": 2},
        network="ResidualUNet",
    )
    assert dataset == before


def test_with_another_network_the_plans_differ_in_name_and_architecture_only(workspace: Workspace) -> None:
    before = workspace.read_plans()
    before["configurations"]["3d_fullres"]["dycon"] = {"uncl_weight": 2}
    workspace.write_plans(copy.deepcopy(before), "nnUNetPlansSettings")
    write(plans="nnUNetPlansSettings", network="ResidualUNet")
    plans = workspace.read_plans("nnUNetPlansNew")
    architecture = plans["configurations"]["3d_fullres"].pop("architecture")
    assert architecture["network_class_name"] == "dynamic_network_architectures.architectures.unet.ResidualUNet"
    del before["configurations"]["3d_fullres"]["architecture"], before["plans_name"], plans["plans_name"]
    assert plans == before


def test_network_and_settings_change_together(workspace: Workspace) -> None:
    write(configurations=("3d_fullres", "2d"), network="ResidualUNet", uncl_weight=2)
    for name in ("3d_fullres", "2d"):
        configuration = workspace.read_plans("nnUNetPlansNew")["configurations"][name]
        assert configuration["architecture"]["network_class_name"].endswith(".ResidualUNet")
        assert configuration["dycon"] == {"uncl_weight": 2}


def test_an_inherited_network_changes_in_the_configuration_that_is_named_only(workspace: Workspace) -> None:
    plans = workspace.read_plans()
    plans["configurations"]["3d_big"] = {"inherits_from": "3d_fullres", "batch_size": 4}
    workspace.write_plans(plans, "nnUNetPlansParent")
    write("nnUNetPlansChild", "nnUNetPlansParent", ("3d_big",), network="ResidualUNet")
    configurations = workspace.read_plans("nnUNetPlansChild")["configurations"]
    assert configurations["3d_fullres"] == plans["configurations"]["3d_fullres"]
    architecture = configurations["3d_big"].pop("architecture")
    assert architecture["arch_kwargs"]["features_per_stage"] == [4, 8, 16]
    assert configurations["3d_big"] == {"inherits_from": "3d_fullres", "batch_size": 4}


def test_several_configurations(workspace: Workspace) -> None:
    write(configurations=("3d_fullres", "2d"), uncl_weight=2)
    configurations = workspace.read_plans("nnUNetPlansNew")["configurations"]
    assert configurations["3d_fullres"]["dycon"] == configurations["2d"]["dycon"] == {"uncl_weight": 2}


def test_settings_that_are_not_changed_stay(workspace: Workspace) -> None:
    write("nnUNetPlansFirst", uncl_weight=2, beta_max=5)
    write("nnUNetPlansSecond", "nnUNetPlansFirst", beta_max=4)
    section = workspace.read_plans("nnUNetPlansSecond")["configurations"]["3d_fullres"]["dycon"]
    assert section == {"uncl_weight": 2, "beta_max": 4}


def test_inherited_settings_stay(workspace: Workspace) -> None:
    plans = workspace.read_plans()
    plans["configurations"]["3d_fullres"]["dycon"] = {"uncl_weight": 2}
    plans["configurations"]["3d_big"] = {"inherits_from": "3d_fullres", "batch_size": 4}
    workspace.write_plans(plans, "nnUNetPlansParent")
    write("nnUNetPlansChild", "nnUNetPlansParent", ("3d_big",), beta_max=4)
    configurations = workspace.read_plans("nnUNetPlansChild")["configurations"]
    assert configurations["3d_big"]["dycon"] == {"uncl_weight": 2, "beta_max": 4}
    assert configurations["3d_fullres"]["dycon"] == {"uncl_weight": 2}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"uncl_weight": -1}, '"uncl_weight" must be'),
        ({"weight": 1}, '"weight" is not a setting'),
        ({"beta_max": 0.01}, '"beta_min" .* must not be above "beta_max"'),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(
    workspace: Workspace, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=rf"configurations/3d_fullres/dycon of .*nnUNetPlansNew.json: .*{message}"):
        write(**changes)
    assert not (workspace.preprocessed / "nnUNetPlansNew.json").exists()


def test_a_name_that_is_taken_is_refused_unless_it_may_be_replaced(workspace: Workspace) -> None:
    write(uncl_weight=2)
    with pytest.raises(UserError, match=r"nnUNetPlansNew.json is there already: .*--overwrite"):
        write(uncl_weight=3)
    write(uncl_weight=4, overwrite=True)
    section = workspace.read_plans("nnUNetPlansNew")["configurations"]["3d_fullres"]["dycon"]
    assert section == {"uncl_weight": 4}


@pytest.mark.usefixtures("workspace")
def test_the_plans_to_start_from_are_never_replaced() -> None:
    with pytest.raises(UserError, match="holds the plans to start from"):
        write("nnUNetPlansSmall", overwrite=True, uncl_weight=2)


@pytest.mark.parametrize("name", ["dataset", "splits_final", "dataset_fingerprint"])
def test_a_file_of_nnunet_that_holds_no_plans_is_never_replaced(workspace: Workspace, name: str) -> None:
    before = (workspace.preprocessed / f"{name}.json").read_bytes()
    with pytest.raises(UserError, match="holds no plans"):
        write(name, overwrite=True, uncl_weight=2)
    assert (workspace.preprocessed / f"{name}.json").read_bytes() == before


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("name", ["", "a/b", "../a", "two words", "nnUNetPlans__new"])
def test_names_that_nnunet_could_not_use_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="cannot be the name of plans"):
        write(name, uncl_weight=2)


@pytest.mark.usefixtures("workspace")
def test_an_unknown_configuration_is_refused() -> None:
    with pytest.raises(UserError, match="has no configuration 4d"):
        write(configurations=("4d",), uncl_weight=2)
    with pytest.raises(UserError, match="has no configuration 4d"):
        write(configurations=("4d",), network="ResidualUNet")
