"""The README's table of results says what the records say."""

from __future__ import annotations

import pytest

from benchmarks.results import page, readme
from nnunetv2_dycon.exceptions import UserError


def test_the_table_is_that_of_the_records() -> None:
    text = (page.REPOSITORY / "README.md").read_text()
    assert text == readme.replace_table(text, readme.render()), "run: make pages"


def test_the_table_replaces_the_one_between_the_marks() -> None:
    text = f"before {readme.START}old{readme.END} after"
    assert readme.replace_table(text, "| new |") == f"before {readme.START}| new |{readme.END} after"


@pytest.mark.parametrize("text", ["no marks", readme.START, f"{readme.START}{readme.END}{readme.END}"])
def test_without_both_marks_it_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="once each"):
        readme.replace_table(text, "| new |")
