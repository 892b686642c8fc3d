"""The page of results says what the records say."""

from __future__ import annotations

import pytest

from benchmarks.results import page
from nnunetv2_dycon.exceptions import UserError


def test_the_page_is_that_of_the_records() -> None:
    assert page.PAGE.read_text() == page.render(), "run: make pages"


def test_every_table_has_rows() -> None:
    sections = page.render().split("\n## ")[2:]
    assert len(sections) == 14
    assert all(section.count("\n|") > 3 for section in sections)


def test_a_series_without_a_table_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MAIN_SERIES", ("first", "third"))
    with pytest.raises(UserError, match="no table has hippocampus in the series second"):
        page.render()
