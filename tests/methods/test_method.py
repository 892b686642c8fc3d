"""What every method has, and predictions with and without deep supervision."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.losses.label_space import Classes
from nnunetv2_dycon.methods import all_methods
from nnunetv2_dycon.methods.bcp import BCPSettings
from nnunetv2_dycon.methods.cml import CMLSettings
from nnunetv2_dycon.methods.ga_cps import GACPSSettings
from nnunetv2_dycon.methods.mean_teacher import MeanTeacherSettings
from nnunetv2_dycon.methods.method import Method, Prediction, full_resolution
from nnunetv2_dycon.methods.settings import MethodSettings
from nnunetv2_dycon.methods.uamt import UAMTSettings

LOGITS = torch.zeros(1, 2, 4, 4)

each_method = pytest.mark.parametrize("method", all_methods(), ids=lambda method: method.__name__)


@pytest.mark.parametrize("output", [LOGITS, [LOGITS, torch.zeros(1, 2, 2, 2)], (LOGITS,)])
def test_logits_are_those_at_full_resolution(output: torch.Tensor | list[torch.Tensor]) -> None:
    assert full_resolution(output) is LOGITS
    assert Prediction(output).logits is LOGITS


def test_the_methods_are_those_of_the_documentation_and_no_base_class() -> None:
    assert sorted(method.__name__ for method in all_methods()) == [
        "BCP",
        "CML",
        "CoTraining",
        "DyCON",
        "DyCONCoTraining",
        "GACPS",
        "MeanTeacher",
        "UAMT",
    ]


@each_method
def test_each_term_has_a_weight_and_each_section_one_method(method: type[Method[Any, Any]]) -> None:
    made = method(method.settings_class(), Classes())
    assert tuple(made.term_weights()) == method.terms
    assert [other.settings_section for other in all_methods()].count(method.settings_section) == 1


@each_method
def test_defaults_are_in_their_range_and_described(method: type[Method[Any, Any]]) -> None:
    settings_class = method.settings_class
    defaults = settings_class()
    assert settings_class.from_configuration(dataclasses.asdict(defaults), "section of plans.json") == defaults
    assert all(field.metadata["description"] for field in dataclasses.fields(settings_class))


@pytest.mark.parametrize(
    ("settings_class", "name", "value"),
    [
        (MeanTeacherSettings, "consistency_weight", -1),
        (UAMTSettings, "consistency_weight", -1),
        (UAMTSettings, "stochastic_passes", 0),
        (UAMTSettings, "stochastic_passes", 1.5),
        (BCPSettings, "bcp_weight", -1),
        (BCPSettings, "unlabeled_region_weight", -0.1),
        (BCPSettings, "box_fraction", 0),
        (BCPSettings, "box_fraction", 1.1),
        (BCPSettings, "largest_component", 1),
        (CMLSettings, "disagreement_weight", -0.1),
        (GACPSSettings, "gamma", 1.1),
        (GACPSSettings, "supervised_percent", 0),
    ],
)
def test_values_out_of_range_are_refused_by_name(
    settings_class: type[MethodSettings], name: str, value: object
) -> None:
    with pytest.raises(UserError, match=f'"{name}" must be'):
        settings_class.from_configuration({name: value}, "section of plans.json")
