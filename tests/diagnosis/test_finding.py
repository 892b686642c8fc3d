"""What the doctor says of one point."""

from __future__ import annotations

from nnunetv2_dycon.diagnosis.finding import Finding, problems_of
from nnunetv2_dycon.exceptions import UserError


def test_problems_are_marked() -> None:
    assert str(Finding("all is well")) == "[ok] all is well"
    assert str(Finding("no scans: add some", is_problem=True)) == "[problem] no scans: add some"
    assert str(Finding("plan", is_to_do=True)) == "[to do] plan"


def test_every_check_is_made_and_a_sentence_told_once() -> None:
    made = []

    def check(text: str) -> None:
        made.append(text)
        if text:
            raise UserError(text)

    problems = list(problems_of(lambda text=text: check(text) for text in ("a", "", "b", "a")))
    assert made == ["a", "", "b", "a"]
    assert problems == [Finding("a", is_problem=True), Finding("b", is_problem=True)]
