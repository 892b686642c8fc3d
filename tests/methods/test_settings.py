"""Settings are read from the plans, and what is wrong with them is said by name."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

import pytest

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.methods.settings import MethodSettings, describe_range, setting, settings_table

WHERE = "configurations/3d_fullres/some of plans.json"


@dataclass(frozen=True)
class SomeSettings(MethodSettings):
    switch: bool = setting(True, "a switch")
    count: int = setting(3, "a count", minimum=1, maximum=5)
    number: float = setting(0.5, "a number", minimum=-1)
    bounded_above: float = setting(0.5, "a number", maximum=1)
    unbounded: float = setting(0.5, "a number")
    text: str = setting("one", "a text", choices=("one", "two"))
    maybe: int | None = setting(None, "a count or nothing", minimum=2, optional=True)


def read(**section: object) -> SomeSettings:
    return SomeSettings.from_configuration(section, WHERE)


@pytest.mark.parametrize("section", [None, {}])
def test_without_a_section_everything_is_default(section: dict | None) -> None:
    assert SomeSettings.from_configuration(section, WHERE) == SomeSettings()


def test_what_the_section_says_holds_and_the_rest_is_default() -> None:
    settings = read(switch=False, count=1, number=-1, text="two", maybe=2, ema_decay=0.5)
    assert settings == SomeSettings(switch=False, count=1, number=-1, text="two", maybe=2, ema_decay=0.5)
    assert settings.warmup_fraction == SomeSettings().warmup_fraction


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", 1),
        ("count", 5),
        ("number", -1),
        ("number", 3),
        ("bounded_above", -1e300),
        ("unbounded", -1e300),
        ("maybe", None),
        ("unlabeled_batch_size", None),
        ("ema_decay", 0),
    ],
)
def test_ends_of_ranges_and_integers_for_numbers_are_taken(name: str, value: object) -> None:
    assert getattr(read(**{name: value}), name) == value


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("switch", 1, "true or false"),
        ("switch", "true", "true or false"),
        ("switch", None, "true or false"),
        ("count", True, "an integer from 1 to 5"),
        ("count", 2.0, "an integer from 1 to 5"),
        ("count", 0, "an integer from 1 to 5"),
        ("count", 6, "an integer from 1 to 5"),
        ("count", None, "an integer from 1 to 5"),
        ("number", False, "a number of at least -1"),
        ("number", "0.5", "a number of at least -1"),
        ("number", -1.001, "a number of at least -1"),
        ("number", float("nan"), "a number of at least -1"),
        ("number", float("inf"), "a number of at least -1"),
        ("number", 10**400, "a number of at least -1"),
        ("number", [1], "a number of at least -1"),
        ("bounded_above", 1.001, "a number of at most 1"),
        ("unbounded", "much", "a number"),
        ("unbounded", float("nan"), "a number"),
        ("text", "three", '"one" or "two"'),
        ("text", 1, '"one" or "two"'),
        ("text", ["one"], '"one" or "two"'),
        ("maybe", 1, "an integer of at least 2, or null"),
        ("maybe", True, "an integer of at least 2, or null"),
    ],
)
def test_bad_values_are_refused_by_name(name: str, value: object, allowed: str) -> None:
    with pytest.raises(UserError) as error:
        read(**{name: value})
    problem = f'"{name}" must be {allowed}, not {value!r}.'
    assert str(error.value) == f'{WHERE}: {problem} Change it with "nnunetv2_dycon plan".'


def test_an_unknown_key_is_refused_with_the_closest_known_one() -> None:
    with pytest.raises(UserError, match=r'"swich" is not a setting. Did you mean "switch"\?'):
        read(swich=True)


def test_an_unknown_key_like_no_other_is_refused_with_all_known_ones() -> None:
    with pytest.raises(UserError, match=r'"xyz" is not a setting. Known settings: bounded_above, count, .*, text, '):
        read(xyz=1)


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(UserError, match=r'"count" must be .*"xyz" is not .*"text" must be '):
        read(count=0, xyz=1, text="three")


@pytest.mark.parametrize("section", [[], "count", 3, True])
def test_a_section_that_is_no_dictionary_is_refused(section: object) -> None:
    with pytest.raises(UserError, match="must be a dictionary of settings"):
        SomeSettings.from_configuration(section, WHERE)


def test_all_settings_in_force_are_described() -> None:
    lines = SomeSettings(count=4).describe().splitlines()
    assert "  count: 4" in lines
    assert len(lines) == len(dataclasses.fields(SomeSettings))


def test_equal_settings_do_not_differ_also_after_json() -> None:
    settings = SomeSettings(number=2)
    assert settings.differences(json.loads(json.dumps(dataclasses.asdict(settings)))) == []


def test_differences_are_named_with_both_values() -> None:
    assert SomeSettings(count=4).differences(dataclasses.asdict(SomeSettings())) == ["count: 3 there, 4 now"]


def test_a_setting_that_is_gone_is_a_difference() -> None:
    there = {**dataclasses.asdict(SomeSettings()), "gone": 1}
    assert SomeSettings().differences(there) == ["gone: 1 there, not set now"]


@dataclass(frozen=True)
class LaterSettings(MethodSettings):
    """What a later release might make of settings."""

    new: int = setting(3, "a count that was not there before")
    new_habit: bool = setting(True, "something that was not done before", before_it_existed=False)
    changed: float = setting(
        0.5, "a fraction", changed_meaning=("0.10.0", "a fraction of the patch, no longer of the scan")
    )


def test_a_setting_that_did_not_exist_is_no_difference_where_it_does_what_was_done() -> None:
    there = dataclasses.asdict(LaterSettings())
    del there["new"], there["new_habit"]
    assert LaterSettings(new_habit=False).differences(there, "0.11.0") == []
    assert LaterSettings(new=4, new_habit=False).differences(there, "0.11.0") == [
        "new: 3 there, which 0.11.0 did without this setting, 4 now"
    ]
    assert LaterSettings().differences(there, "0.11.0") == [
        "new_habit: False there, which 0.11.0 did without this setting, True now"
    ]


def test_who_wants_to_go_on_is_told_what_to_put_back() -> None:
    there = dataclasses.asdict(LaterSettings(new=5))
    with pytest.raises(UserError, match=r'To go on with it, set "new": 5 in its plans under nnUNet_preprocessed\.$'):
        LaterSettings().refuse_others(there, "checkpoint.pth", "0.11.0")


def test_who_wants_to_go_on_is_told_what_an_earlier_release_did() -> None:
    there = dataclasses.asdict(LaterSettings())
    del there["new"], there["new_habit"]
    with pytest.raises(
        UserError, match=r'To go on with it, set "new_habit": false in its plans under nnUNet_preprocessed\.$'
    ):
        LaterSettings().refuse_others(there, "checkpoint.pth", "0.10.0")


def test_who_cannot_put_everything_back_is_not_told_to_try() -> None:
    there = {**dataclasses.asdict(LaterSettings(new=5)), "gone": 3}
    with pytest.raises(UserError, match=r"gone: 3 there, not set now; new: 5 there.* remove these results\.$"):
        LaterSettings().refuse_others(there, "checkpoint.pth", "0.11.0")


def test_a_setting_that_changed_its_meaning_says_so() -> None:
    there = dataclasses.asdict(LaterSettings())
    assert LaterSettings().differences(there, "0.10.0") == []
    (text,) = LaterSettings().differences(there, "0.9.3")
    assert text == "changed: 0.5 means something else since 0.10.0: a fraction of the patch, no longer of the scan"
    with pytest.raises(UserError, match=r"checkpoint\.pth holds results of other settings .*since 0\.10\.0"):
        LaterSettings().refuse_others(there, "checkpoint.pth", "0.9.3")


def test_the_table_has_a_row_for_each_setting() -> None:
    rows = settings_table(SomeSettings).splitlines()
    assert len(rows) == 2 + len(dataclasses.fields(SomeSettings))
    assert "| `switch` | `true` | true or false | a switch |" in rows
    assert "| `maybe` | `null` | an integer of at least 2, or null | a count or nothing |" in rows
    assert {row.count(" | ") for row in rows[2:]} == {3}


@pytest.mark.parametrize("field", dataclasses.fields(MethodSettings), ids=lambda field: field.name)
def test_defaults_are_in_their_range(field: dataclasses.Field) -> None:
    read(**{field.name: field.default})
    assert describe_range(field)
