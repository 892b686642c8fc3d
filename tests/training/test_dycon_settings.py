"""The settings of DyCON."""

from __future__ import annotations

import dataclasses

import pytest

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.training.dycon_settings import DyCONSettings


def read(**section: object) -> DyCONSettings:
    return DyCONSettings.from_configuration(section, "dycon of plans.json")


@pytest.mark.parametrize("field", dataclasses.fields(DyCONSettings), ids=lambda field: field.name)
def test_defaults_are_in_their_range_and_described(field: dataclasses.Field) -> None:
    assert read(**{field.name: field.default}) == DyCONSettings()
    assert field.metadata["description"]


def test_the_paper_settings_are_in_range() -> None:
    settings = read(beta_max=5, beta_min=0.5, uncl_entropy_weight=1, fecl_variant="official", fecl_gamma=2)
    assert (settings.beta_max, settings.beta_min) == (5, 0.5)


def test_beta_may_be_constant() -> None:
    assert read(beta_max=0.5, beta_min=0.5).beta_min == 0.5


def test_a_rising_beta_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r'dycon of plans.json: "beta_min" \(3\) must not be above "beta_max" \(2\)'):
        read(beta_max=2, beta_min=3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("uncl_weight", -1),
        ("fecl_weight", -0.1),
        ("beta_min", 0),
        ("beta_max", 0),
        ("beta_max", 11),
        ("fecl_temperature", 0),
        ("fecl_gamma", 0),
        ("fecl_variant", "Paper"),
        ("fecl_hard_negatives", 1),
        ("fecl_num_hard_negatives", 0),
        ("fecl_embedding_channels", 0),
        ("warmup_fraction", 1.1),
        ("ema_decay", 1),
        ("deployed_network", "both"),
    ],
)
def test_values_out_of_range_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(UserError, match=f'"{name}" must be'):
        read(**{name: value})


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        DyCONSettings().uncl_weight = 1
