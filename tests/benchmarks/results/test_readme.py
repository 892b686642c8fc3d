"""The README's tables say what the records say."""

from __future__ import annotations

import pytest

from benchmarks.results import page, readme
from nnunetv2_dycon.exceptions import UserError


def test_the_tables_are_those_of_the_records() -> None:
    text = (page.REPOSITORY / "README.md").read_text()
    assert text == readme.with_tables(text), "run: make pages"


def test_a_table_replaces_the_one_between_its_marks() -> None:
    text = "before <!-- costs -->\nold\n<!-- end of costs --> after"
    replaced = "before <!-- costs -->\n| new |\n<!-- end of costs --> after"
    assert readme.replace_table(text, "costs", "| new |") == replaced


@pytest.mark.parametrize("text", ["no marks", "<!-- costs -->\n", 2 * "<!-- costs -->\n\n<!-- end of costs -->"])
def test_without_both_marks_it_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="once each, around the table of costs"):
        readme.replace_table(text, "costs", "| new |")
