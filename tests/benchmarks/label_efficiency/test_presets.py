from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from benchmarks.common.workspace import CONFIGURATION, Configuration
from benchmarks.label_efficiency.presets import PRESETS, reduce_plans
from nnunetv2_dycon.exceptions import UserError


def plans_at(spacing: list[float]) -> dict:
    plans = Configuration((64, 64, 64), (32, 64, 128, 256, 320)).plans({})
    plans["configurations"][CONFIGURATION]["spacing"] = spacing
    return plans


def test_hippocampus() -> None:
    plans = plans_at([1.0, 1.0, 1.0])
    before = copy.deepcopy(plans)
    preset = replace(
        PRESETS["hippocampus"], patch_size=(32, 48, 32), features=(16, 32, 64, 128), convolutions=(1, 2, 3, 4)
    )
    reduced = reduce_plans(plans, preset)
    assert plans == before
    configuration = reduced["configurations"][CONFIGURATION]
    network = configuration["architecture"]["arch_kwargs"]
    assert configuration["patch_size"] == [32, 48, 32]
    assert network["features_per_stage"] == [16, 32, 64, 128]
    assert network["strides"] == [[1, 1, 1], [2, 2, 2], [2, 2, 2], [2, 2, 2]]
    assert network["kernel_sizes"] == [[3, 3, 3]] * 4
    assert network["n_conv_per_stage"] == [1, 2, 3, 4]
    assert network["n_conv_per_stage_decoder"] == [3, 2, 1]
    # What preprocessing reads stays.
    changed = {key for key, value in configuration.items() if value != before["configurations"][CONFIGURATION][key]}
    assert changed == {"patch_size", "architecture"}


def test_thick_slices_are_not_pooled_first() -> None:
    reduced = reduce_plans(plans_at([2.5, 0.7, 0.7]), replace(PRESETS["lung_nodules"], patch_size=(16, 48, 48)))
    network = reduced["configurations"][CONFIGURATION]["architecture"]["arch_kwargs"]
    assert network["strides"] == [[1, 1, 1], [1, 2, 2], [2, 2, 2], [2, 2, 2]]
    assert network["kernel_sizes"][0] == [1, 3, 3]


def test_slices_have_a_network_in_two_dimensions() -> None:
    plans = plans_at([10.0, 3.0, 3.0])
    plans["configurations"]["2d"] = copy.deepcopy(plans["configurations"][CONFIGURATION]) | {"spacing": [3.0, 3.0]}
    reduced = reduce_plans(plans, PRESETS["acdc"])
    configuration = reduced["configurations"]["2d"]
    network = configuration["architecture"]["arch_kwargs"]
    assert configuration["patch_size"] == [96, 96]
    assert network["strides"] == [[1, 1], *[[2, 2]] * 4]
    assert network["kernel_sizes"] == [[3, 3]] * 5
    assert reduced["configurations"][CONFIGURATION] == plans["configurations"][CONFIGURATION]


def test_planned_keeps_nnunets_plans() -> None:
    plans = plans_at([1.0, 1.0, 1.0])
    reduced = reduce_plans(plans, PRESETS["planned"])
    assert reduced["configurations"] == plans["configurations"]
    assert reduced["plans_name"] != plans["plans_name"]


def test_features_must_fit_the_patch() -> None:
    with pytest.raises(UserError, match="2 stages"):
        reduce_plans(plans_at([1.0, 1.0, 1.0]), replace(PRESETS["hippocampus"], features=(8, 16)))


def test_every_stage_has_its_number_of_convolutions() -> None:
    with pytest.raises(UserError, match="2 numbers of convolutions are given for 4 stages"):
        reduce_plans(plans_at([1.0, 1.0, 1.0]), replace(PRESETS["hippocampus"], convolutions=(1, 2)))
