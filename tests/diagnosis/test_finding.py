"""What the doctor prints."""

from __future__ import annotations

from nnunetv2_dycon.diagnosis.finding import Finding


def test_problems_are_marked() -> None:
    assert str(Finding("all is well")) == "[ok] all is well"
    assert str(Finding("no scans: add some", is_problem=True)) == "[problem] no scans: add some"
