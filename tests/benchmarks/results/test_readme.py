"""The README's tables say what the records say."""

from __future__ import annotations

import numpy as np
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


def test_nnunet_after_four_times_the_steps_is_below_dycon_as_the_text_says() -> None:
    dycon = heart.read_matrix(heart.ALL_METHODS)[6, "DyCON"]
    assert dycon.mean() > heart.read_matrix(heart.LONGER)[6, "nnUNet"].mean()


@pytest.mark.parametrize("text", ["no marks", "<!-- costs -->\n", 2 * "<!-- costs -->\n\n<!-- end of costs -->"])
def test_without_both_marks_it_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="once each, around the table of costs"):
        readme.replace_table(text, "costs", "| new |")


def test_each_row_has_its_own_trainings_and_nnunet_with_all_labels() -> None:
    dice = {("hippocampus", 4): (0.5, 0.6), ("hippocampus", 8): (0.6, 0.65), ("lung_nodules", 8): (0.7, 0.8)}
    runs = [
        Run("first", dataset, labels, arm, 0, 2_000, value)
        for (dataset, labels), values in dice.items()
        for arm, value in zip(("nnUNet", "DyCON"), values, strict=True)
    ]
    runs.append(Run("first", "hippocampus", 150, "nnUNet", 0, 2_000, 0.9))
    scores = {
        series: {
            key: np.array([[value, value]])
            for key, value in (((6, "nnUNet"), low), ((6, "DyCON"), low + 0.1), ((140, "nnUNet"), 0.95))
        }
        for series, low in ((heart.MATRIX, 0.3), (heart.LONGER, 0.4))
    }
    scores[heart.LONGER] |= {(14, "nnUNet"): np.array([[0.7, 0.7]]), (14, "DyCON"): np.array([[0.75, 0.75]])}
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in readme.render_results(runs, scores).splitlines()
    ]
    assert rows[2:] == [
        ["hippocampus, MRI", "4", "2,000", "0.5000 (1)", "0.6000 (1)", "+0.1000", "0.9000 (1)"],
        ["hippocampus, MRI", "8", "2,000", "0.6000 (1)", "0.6500 (1)", "+0.0500", "0.9000 (1)"],
        ["lung nodules, CT", "8", "2,000", "0.7000 (1)", "0.8000 (1)", "+0.1000", ""],
        ["heart (ACDC), MRI", "6", "16,000", "0.3000 (1)", "0.4000 (1)", "+0.1000 [+0.1000, +0.1000]", "0.9500 (1)"],
        ["heart (ACDC), MRI", "6", "32,000", "0.4000 (1)", "0.5000 (1)", "+0.1000 [+0.1000, +0.1000]", "0.9500 (1)"],
        ["heart (ACDC), MRI", "14", "32,000", "0.7000 (1)", "0.7500 (1)", "+0.0500 [+0.0500, +0.0500]", "0.9500 (1)"],
    ]
