"""The plans of the benchmarks are what nnU-Net's planner writes."""

from __future__ import annotations

from benchmarks.common.workspace import Configuration
from tests.conftest import Workspace


def shape_of(value: object) -> object:
    """The keys and types of nested dictionaries."""
    return {key: shape_of(item) for key, item in value.items()} if isinstance(value, dict) else type(value)


def test_plans_have_the_form_of_those_of_the_planner(workspace: Workspace) -> None:
    planned = workspace.read_plans("nnUNetPlans")
    made = Configuration((16, 16, 16), (4, 8)).plans({})
    planned_configuration = planned["configurations"]["3d_fullres"]
    made_configuration = made["configurations"]["3d_fullres"]
    assert made_configuration.pop("dycon") == {}
    # For people only.
    planned_configuration.pop("median_image_size_in_voxels")
    assert shape_of(made_configuration) == shape_of(planned_configuration)
    for key in ("architecture", "resampling_fn_data_kwargs", "resampling_fn_seg_kwargs"):
        fixed = {**planned_configuration[key]}, {**made_configuration[key]}
        for each in fixed:
            if key == "architecture":
                each["arch_kwargs"] = {
                    name: value
                    for name, value in each["arch_kwargs"].items()
                    if not isinstance(value, list) and name != "n_stages"
                }
        assert fixed[0] == fixed[1]
    for key in ("image_reader_writer", "label_manager", "transpose_forward"):
        assert made[key] == planned[key]


def test_what_the_configuration_says_is_in_the_plans() -> None:
    plans = Configuration((16, 24, 32), (4, 8, 8), batch_size=5, channels=2).plans({"uncl_weight": 3})
    configuration = plans["configurations"]["3d_fullres"]
    assert configuration["patch_size"] == [16, 24, 32]
    assert configuration["batch_size"] == 5
    assert configuration["architecture"]["arch_kwargs"]["features_per_stage"] == [4, 8, 8]
    assert configuration["architecture"]["arch_kwargs"]["strides"] == [[1] * 3, [2] * 3, [2] * 3]
    assert configuration["use_mask_for_norm"] == [False, False]
    assert configuration["dycon"] == {"uncl_weight": 3}
