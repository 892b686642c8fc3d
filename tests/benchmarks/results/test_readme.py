"""The README's tables say what the records say."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.results import heart, page, readme
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


def test_the_table_of_the_heart_has_what_each_length_was_trained_for() -> None:
    shorter = {(6, "DyCON"): np.array([[0.7, 0.9], [0.6, 0.6]]), (6, "nnUNet"): np.array([[0.5, 0.5]])}
    longer = {(6, "DyCON"): np.array([[0.9, 0.9]]), (140, "nnUNet"): np.array([[1.0, 0.9]])}
    longer[6, "DyCONSelfTraining"] = np.array([[0.92, 0.92]])
    shorter[6, "AllComponents"] = np.array([[0.8, 0.8]])
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in readme.render_heart({16_000: shorter, 32_000: longer}).splitlines()
    ]
    assert rows[0] == ["heart (ACDC)", "labels", "16,000 steps", "32,000 steps"]
    assert rows[2:] == [
        ["nnU-Net", "6", "0.5000 (1)", ""],
        ["DyCON", "6", "0.7000 (2)", "0.9000 (1)"],
        ["DyCON, then self-training", "6", "", "0.9200 (1)"],
        ["nnU-Net", "140", "", "0.9500 (1)"],
    ]
