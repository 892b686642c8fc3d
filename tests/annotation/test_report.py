"""The order in words, and the folder for an annotation tool."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nnunetv2_dycon.annotation.annotation_folder import names_of_values, write_annotation_folder
from nnunetv2_dycon.annotation.candidates import find_candidates
from nnunetv2_dycon.annotation.rank_cases import Measured, RankedCase, ranked
from nnunetv2_dycon.annotation.report import text_table, write_ranking
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.files import hash_file
from nnunetv2_dycon.uncertainty.inputs import TrainedModel
from tests.annotation.conftest import RawDataset, write_label

CASES = [
    RankedCase("scan_7", 0.5, 0.25, 2.0, "old", 2.0),
    RankedCase("s", 0.125, 0.5, 0.25, "scan_7", 1.5),
]


def test_cases_are_ranked_by_name() -> None:
    unlabeled = {"near": Measured([1.0], 0.5), "far": Measured([4.0], 0.5), "between": Measured([2.5], 0.1)}
    order = ranked(unlabeled, {"old": Measured([0.0])}, "both")
    assert [(each.case, each.nearest, each.uncertainty) for each in order] == [
        ("far", "old", 0.5),
        ("near", "old", 0.5),
        ("between", "far", 0.1),
    ]
    # The distance of 4 to 0 is 1.
    scale = order[0].distance
    assert scale is not None
    assert [each.distance / scale for each in order] == pytest.approx([1, 0.25, 0.375])
    assert [each.distance_to_labeled / scale for each in order] == pytest.approx([1, 0.25, 0.625])
    assert [each.score for each in order] == pytest.approx([scale * each for each in (0.5, 0.125, 0.0375)])
    by_uncertainty = ranked(unlabeled, {}, "uncertainty")
    assert [each.case for each in by_uncertainty] == ["near", "far", "between"]
    assert by_uncertainty[0] == RankedCase("near", 0.5, 0.5, None, None, None)


def test_the_table_in_words() -> None:
    assert text_table(CASES, ["old"]).splitlines() == [
        "rank  case    score  uncertainty  distance  most like",
        "   1  scan_7  0.500        0.250     2.000  old (labeled)",
        "   2  s       0.125        0.500     0.250  scan_7 (chosen)",
    ]
    assert text_table([RankedCase("s", 0.5, 0.5, None, None, None)], []).splitlines() == [
        "rank  case  score  uncertainty",
        "   1  s     0.500        0.500",
    ]


def test_files_of_the_order(tmp_path: Path) -> None:
    write_ranking(CASES, ["old"], 1, "title", tmp_path)
    with (tmp_path / "ranking.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[1] == {
        "rank": "2",
        "case": "s",
        "score": "0.125",
        "uncertainty": "0.5",
        "distance": "0.25",
        "nearest": "scan_7",
        "distance_to_labeled": "1.5",
    }
    assert len((tmp_path / "ranking.txt").read_text().splitlines()) == 3
    image = np.asarray(Image.open(tmp_path / "ranking.png").convert("RGB")).astype(int)
    # The first is orange, the other grey.
    for colour in ((0xD5, 0x5E, 0x00), (0x99, 0x99, 0x99)):
        assert (np.abs(image - colour).max(-1) < 3).sum() > 20
    write_ranking([RankedCase("s", 0.5, 0.5, None, None, None)], [], 1, "title", tmp_path)
    assert not (tmp_path / "ranking.png").exists()
    assert (tmp_path / "ranking.csv").read_text().splitlines()[1] == "1,s,0.5,0.5,,,"


def test_the_picture_looks_the_same_after_nnunets_progress_png(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    write_ranking(CASES, ["old"], 1, "title", tmp_path / "before")
    request.getfixturevalue("progress_png_drawn")
    write_ranking(CASES, ["old"], 1, "title", tmp_path / "after")
    before, after = ((tmp_path / name / "ranking.png").read_bytes() for name in ("before", "after"))
    assert before == after


def test_the_folder_for_an_annotation_tool(few: RawDataset, tmp_path: Path) -> None:
    model = TrainedModel(Path("model"), (0,), "checkpoint_final.pth", few.dataset_json, None)
    candidates = find_candidates("601", model)
    for case in "cde":
        write_label(tmp_path / "predictions" / f"{case}.nii.gz")
    folder = tmp_path / "annotate"
    folder.mkdir()
    arguments = (["d", "c"], candidates, tmp_path / "predictions", few.dataset_json["labels"])
    write_annotation_folder(folder, *arguments)
    assert sorted(file.name for file in (folder / "images").iterdir()) == [
        f"{case}_{channel:04d}.nii.gz" for case in "cd" for channel in range(2)
    ]
    scan = few.raw / "imagesUnlabeled" / "d_0001.nii.gz"
    assert (folder / "images" / "d_0001.nii.gz").read_bytes() == scan.read_bytes()
    assert not (folder / "images" / "d_0001.nii.gz").is_symlink()
    label = folder / "labels" / "d.nii.gz"
    record = json.loads((folder / "annotation.json").read_text())
    assert record["cases"]["d"] == {"pre_segmentation_sha256": hash_file(label)}
    lines = (folder / "labels.txt").read_text().splitlines()[1:]
    pattern = r'(\d+) (\d+) (\d+) (\d+) [01] [01] [01] "(.+)"'
    matches = [re.fullmatch(pattern, line) for line in lines]
    assert [(match[1], match[5]) for match in matches] == [
        ("0", "Clear Label"),
        ("1", "organ"),
        ("2", "läsion"),
        ("3", "ignore"),
    ]
    assert len({match.groups()[1:4] for match in matches}) == 4
    # Someone's work.
    with pytest.raises(UserError, match="is there and not empty, and annotations in it could be lost"):
        write_annotation_folder(folder, *arguments)


def test_values_of_regions_have_the_name_of_the_smallest() -> None:
    labels = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}
    assert names_of_values(labels) == {0: "background", 1: "whole", 2: "core", 3: "enhancing"}
