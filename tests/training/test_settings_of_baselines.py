"""The settings of the methods that DyCON is compared with."""

from __future__ import annotations

import dataclasses

import pytest

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.training.bcp_settings import BCPSettings
from nnunetv2_dycon.training.mean_teacher_settings import MeanTeacherSettings
from nnunetv2_dycon.training.settings import SemiSupervisedSettings
from nnunetv2_dycon.training.uamt_settings import UAMTSettings

CLASSES = [BCPSettings, MeanTeacherSettings, UAMTSettings]


@pytest.mark.parametrize("settings_class", CLASSES)
def test_defaults_are_in_their_range_and_described(settings_class: type[SemiSupervisedSettings]) -> None:
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
    ],
)
def test_values_out_of_range_are_refused_by_name(
    settings_class: type[SemiSupervisedSettings], name: str, value: object
) -> None:
    with pytest.raises(UserError, match=f'"{name}" must be'):
        settings_class.from_configuration({name: value}, "section of plans.json")
