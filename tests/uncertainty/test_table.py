"""The table of cases and structures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from nnunetv2.utilities.label_handling.label_handling import LabelManager

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.uncertainty.measures import Uncertainty
from nnunetv2_dycon.uncertainty.table import Structure, read_table, rows_of, structures_of, write_table

REGIONS = {"background": 0, "whole": [1, 2], "inner": 2, "ignore": 3}
CLASSES = {"background": 0, "second": 2, "first": 1, "ignore": 3}


def test_structures_have_the_networks_channels() -> None:
    assert structures_of(CLASSES, LabelManager(CLASSES, None)) == [
        Structure("first", (1,), 1),
        Structure("second", (2,), 2),
    ]
    assert structures_of(REGIONS, LabelManager(REGIONS, [1, 2])) == [
        Structure("whole", (1, 2), 0),
        Structure("inner", (2,), 1),
    ]


def test_a_region_is_all_of_its_labels() -> None:
    segmentation = torch.tensor([0, 1, 2]).view(3, 1, 1)
    assert Structure("whole", (1, 2), 0).mask(segmentation).flatten().tolist() == [False, True, True]


def test_rows_by_hand() -> None:
    segmentation = torch.tensor([0, 1, 1, 0]).view(4, 1, 1)
    probabilities = torch.tensor([[1.0, 0.1, 0.2, 0.7], [0.0, 0.9, 0.8, 0.3], [0.0] * 4]).view(3, 4, 1, 1)
    entropy = torch.tensor([0.0, 0.2, 0.4, 0.6]).view(4, 1, 1)
    structures = [Structure("organ", (1,), 1), Structure("tumour", (2,), 2)]
    organ, tumour = rows_of("a", structures, segmentation, Uncertainty(probabilities, entropy, entropy / 2), 2.5)
    assert organ == {
        "case": "a",
        "class": "organ",
        "voxels": "2",
        "volume_mm3": "5",
        "mean_entropy": "0.3",
        "mean_mutual_information": "0.15",
        "expected_dice": "0.85",
    }
    assert list(tumour.values()) == ["a", "tumour", "0", "0", "", "", ""]


def test_without_members_or_thickness_cells_are_empty() -> None:
    uncertainty = Uncertainty(torch.ones(2, 1, 2, 2), torch.zeros(1, 2, 2), None)
    (row,) = rows_of("a", [Structure("organ", (1,), 1)], torch.ones(1, 2, 2, dtype=torch.int), uncertainty, None)
    assert (row["voxels"], row["volume_mm3"], row["mean_mutual_information"]) == ("4", "", "")


def test_a_table_is_read_as_it_was_written_sorted_by_case(tmp_path: Path) -> None:
    uncertainty = Uncertainty(torch.ones(2, 1, 2, 2), torch.zeros(1, 2, 2), None)
    structures, segmentation = [Structure("organ, left", (1,), 1)], torch.ones(1, 2, 2, dtype=torch.int)
    rows = [row for case in ("b", "a") for row in rows_of(case, structures, segmentation, uncertainty, 1.0)]
    write_table(rows, tmp_path / "table.csv")
    assert read_table(tmp_path / "table.csv") == rows[::-1]
    assert read_table(tmp_path / "other.csv") == []


def test_another_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("case,dice\na,1\n")
    with pytest.raises(UserError, match=r"table\.csv is not a table of nnunetv2_dycon uncertainty: remove it"):
        read_table(tmp_path / "table.csv")
