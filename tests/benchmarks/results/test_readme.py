"""The README's tables say what the records say."""

from __future__ import annotations

import pytest

from benchmarks.results import heart, page, readme
from benchmarks.results.records import Run
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


def test_the_note_on_length_has_the_means_of_lengths_that_both_trainers_have() -> None:
    def run(steps: int, arm: str, dice: float, series: str | None = None) -> Run:
        return Run(series or heart.LENGTHS[steps], "acdc", 6, arm, 0, steps, dice)

    runs = [
        run(32_000, "DyCON", 0.9),
        run(16_000, "DyCON", 0.8),
        run(16_000, "DyCON", 0.7),
        run(8_000, "DyCON", 0.6),
        run(8_000, "DyCON", 0.1, "of another precision"),
        run(8_000, "nnUNet", 0.3),
        run(16_000, "nnUNet", 0.5),
    ]
    note = readme.render_note_on_length(runs)
    assert "after 8,000 and 16,000 steps: DyCON 0.60, 0.75; nnU-Net 0.30, 0.50 (" in note
