"""Reading what nnU-Net planned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nnunetv2_dycon.datasets.names import dataset_name_of
from nnunetv2_dycon.datasets.planned_dataset import read_planned_dataset
from nnunetv2_dycon.exceptions import UserError

if TYPE_CHECKING:
    from tests.conftest import Workspace


@pytest.mark.parametrize("name", ["501", "Dataset501_Tiny"])
def test_a_dataset_is_known_by_id_and_name(workspace: Workspace, name: str) -> None:
    dataset = read_planned_dataset(name, "nnUNetPlansSmall")
    assert dataset.folder == workspace.preprocessed
    assert dataset.plans_file == workspace.preprocessed / "nnUNetPlansSmall.json"
    assert dataset.plans == workspace.read_plans()
    assert dataset.dataset_json == workspace.read_dataset_json()
    assert dataset.plans_manager.plans_name == "nnUNetPlansSmall"
    assert dataset.configuration("2d").patch_size == [32, 32]


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize(
    ("name", "message"), [("77", "ID 77"), ("hippocampus", "hippocampus"), ("DatasetTiny", "three digits")]
)
def test_an_unknown_dataset_is_refused_by_name(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        dataset_name_of(name)


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize(("name", "number"), [("501", 501), ("Dataset012_Other", 12)])
def test_plans_that_are_not_there_are_named_with_the_remedy(name: str, number: int) -> None:
    command = f"nnUNetv2_plan_and_preprocess -d {number}"
    for plans, configuration, remedy in (
        ("nnUNetResEncUNetMPlans", None, f"{command} -c CONFIGURATION -pl nnUNetPlannerResEncM"),
        ("nnUNetResEncUNetLPlans", "4d", f"{command} -c CONFIGURATION -pl nnUNetPlannerResEncL"),
        (
            "nnUNetResEncUNetXLPlans",
            "3d_cascade_fullres",
            f"{command} -c 3d_fullres 3d_lowres -pl nnUNetPlannerResEncXL",
        ),
        # What makes nnU-Net's own plans makes no others.
        ("nnUNetPlansX", "2d", f'make these with "nnunetv2_dycon plan -d {number} -c 2d -o nnUNetPlansX NAME=VALUE"'),
        ("nnUNetPlansX", None, f'make these with "nnunetv2_dycon plan -d {number} -o nnUNetPlansX NAME=VALUE"'),
        ("nnUNetResEncUNetPlans", "2d", f"{command} -c 2d -pl ResEncUNetPlanner"),
        ("my plans", "2d", " correct it."),
    ):
        with pytest.raises(UserError, match=f"{plans}.json is not there") as error:
            read_planned_dataset(name, plans, *filter(None, (configuration,)))
        assert str(error.value).endswith(remedy)


def test_a_dataset_that_is_not_planned_is_planned_first(workspace: Workspace) -> None:
    for file in workspace.preprocessed.glob("*Plans*.json"):
        file.unlink()
    command = "Plan the dataset first: nnUNetv2_plan_and_preprocess -d 501 -c 2d"
    with pytest.raises(UserError, match=f"{command}$"):
        read_planned_dataset("501", "nnUNetPlans", "2d")
    with pytest.raises(UserError, match=r'first, with "nnUNetv2_plan_and_preprocess .* 2d", then make these with'):
        read_planned_dataset("501", "nnUNetPlansX", "2d")
    with pytest.raises(UserError, match=r"-c 2d 3d_fullres 3d_lowres$"):
        read_planned_dataset("501", "nnUNetPlans", "2d", "3d_lowres")


def test_new_plans_are_made_of_those_that_are_there(workspace: Workspace) -> None:
    (workspace.preprocessed / "nnUNetPlansSmall.json").unlink()
    (workspace.preprocessed / "nnUNetPlans.json").rename(workspace.preprocessed / "nnUNetResEncUNetMPlans.json")
    with pytest.raises(UserError, match=r'plan -d 501 -c 2d -p nnUNetResEncUNetMPlans -o nnUNetPlansX NAME=VALUE"$'):
        read_planned_dataset("501", "nnUNetPlansX", "2d")


def test_plans_that_are_there_are_named_with_nnunets_own_first(workspace: Workspace) -> None:
    for name in ("._nnUNetPlans", "Low", "notes"):
        (workspace.preprocessed / f"{name}.json").write_text('{"plans_name": ""}' if name != "notes" else "[]")
    with pytest.raises(UserError, match=r"Name others with -p \(nnUNetPlans, Low, nnUNetPlansSmall are there\)"):
        read_planned_dataset("501", "nnUNetPlansX")


@pytest.mark.usefixtures("workspace")
def test_a_name_that_no_dataset_has_is_told_with_the_one_of_its_id() -> None:
    with pytest.raises(UserError, match="Dataset501_Tyni is in none of nnU-Net's folders, which have Dataset501_Tiny"):
        read_planned_dataset("Dataset501_Tyni", "nnUNetPlans")


@pytest.mark.usefixtures("workspace")
def test_an_unknown_configuration_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"nnUNetPlans.json has no configuration 4d. Choose one of 2d, 3d_fullres"):
        read_planned_dataset("501", "nnUNetPlans").configuration("4d")


@pytest.mark.usefixtures("workspace")
def test_without_the_folder_of_preprocessed_data_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("nnUNet_preprocessed")
    with pytest.raises(UserError, match="nnUNet_preprocessed is not set"):
        read_planned_dataset("501", "nnUNetPlans")


def test_a_network_of_two_stages_is_refused_also_in_plans_of_early_releases(workspace: Workspace) -> None:
    plans = workspace.read_plans()
    configuration = plans["configurations"]["3d_fullres"]
    del configuration["architecture"]
    configuration |= {"UNet_class_name": "PlainConvUNet", "pool_op_kernel_sizes": [[1, 1, 1], [2, 2, 2]]}
    workspace.write_plans(plans, "nnUNetPlansEarly")
    with pytest.raises(UserError, match="has a network of 2 stages, and nnU-Net's deep supervision needs 3"):
        read_planned_dataset("501", "nnUNetPlansEarly").configuration("3d_fullres")
