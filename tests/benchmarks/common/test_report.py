from __future__ import annotations

import pytest

from benchmarks.common.report import describe_machine, markdown_table, verdict


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert markdown_table(["a", "b"], [["long", "1"]]) == "| a    | b   |\n| ---  | --- |\n| long | 1   |"


@pytest.mark.parametrize(
    ("ratio", "at_least", "expected"),
    [
        (2.5, False, "<= 2.5: yes"),
        (2.6, False, "<= 2.5: NO"),
        (2.5, True, ">= 2.5: yes"),
        (2.4, True, ">= 2.5: NO"),
    ],
)
def test_verdict(ratio: float, at_least: bool, expected: str) -> None:
    assert verdict(ratio, 2.5, at_least=at_least) == expected


def test_the_number_of_threads_is_the_one_asked_for() -> None:
    assert describe_machine("cpu", 7)["threads"] == 7
    assert describe_machine("cpu", None)["threads"] == 1
