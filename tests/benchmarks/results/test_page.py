"""The page of results says what the records say."""

from __future__ import annotations

from benchmarks.results import page


def test_the_page_is_that_of_the_records() -> None:
    assert page.PAGE.read_text() == page.render(), "run: make pages"


def test_every_table_has_rows() -> None:
    sections = page.render().split("\n## ")[2:]
    assert len(sections) == 11
    assert all(section.count("\n|") > 3 for section in sections)
