from __future__ import annotations

import json
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import SimpleITK as sitk
from matplotlib.colors import to_rgb

from nnunetv2_dycon.demo.picture import (
    RIGHT_COLOURS,
    draw_picture,
    most_telling_slice,
    only_one_is_right,
    read_array,
)
from nnunetv2_dycon.demo.report import ShownCase, TrainerResult
from nnunetv2_dycon.demo.scanners import write_scanners_dataset


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    write_scanners_dataset(tmp_path / "raw", labeled=2, unlabeled=0, test=2)
    return tmp_path / "raw"


def trainer(raw: Path, title: str, *, right: bool) -> TrainerResult:
    """A trainer that is right in every voxel, or in none."""
    folder = raw.parent / title
    folder.mkdir()
    cases = []
    for file in sorted((raw / "labelsTs").iterdir()):
        truth = read_array(file)
        sitk.WriteImage(sitk.GetImageFromArray(truth if right else 1 - truth), str(folder / file.name))
        cases.append({"prediction_file": str(folder / file.name), "metrics": {"1": {"Dice": float(right)}}})
    (folder / "summary.json").write_text(json.dumps({"metric_per_case": cases}))
    return TrainerResult(title, folder, 1.0)


def draw(raw: Path, results: tuple[TrainerResult, TrainerResult], *cases: str) -> np.ndarray:
    file = raw.parent / "demo.png"
    shown = [ShownCase(case, "chosen by hand") for case in cases]
    draw_picture(file, raw_dataset_folder=raw, results=results, labels={"organ": 1}, cases=shown)
    return matplotlib.image.imread(file)[..., :3]


def hue_of(picture: np.ndarray, colour: str) -> int:
    """How many pixels of the last column below the legend look like a colour over grey."""
    height, width = picture.shape[:2]
    panel = picture[height // 2 :, 4 * width // 5 :]
    strongest, weakest = np.argmax(to_rgb(colour)), np.argmin(to_rgb(colour))
    return int((panel[..., strongest] - panel[..., weakest] > 0.35).sum())


def test_shows_who_alone_is_right(raw: Path) -> None:
    wrong, right = trainer(raw, "nnU-Net", right=False), trainer(raw, "DyCON", right=True)
    green, orange = RIGHT_COLOURS[1], RIGHT_COLOURS[0]
    dycon = draw(raw, (wrong, right), "demo_002")
    assert hue_of(dycon, green) > 500
    assert hue_of(dycon, orange) == 0
    plain = draw(raw, (right, wrong), "demo_002")
    assert hue_of(plain, orange) > 500
    assert hue_of(plain, green) == 0
    assert hue_of(draw(raw, (right, right), "demo_002"), green) == 0


def test_has_a_row_for_each_case_and_one_for_the_labeled_scans(raw: Path) -> None:
    results = trainer(raw, "nnU-Net", right=False), trainer(raw, "DyCON", right=True)
    one, two = draw(raw, results, "demo_002"), draw(raw, results, "demo_002", "demo_003")
    assert one.shape[1] == two.shape[1]
    assert two.shape[0] == pytest.approx(1.5 * one.shape[0], rel=0.05)


def test_looks_the_same_after_nnunets_progress_png(raw: Path, request: pytest.FixtureRequest) -> None:
    results = trainer(raw, "nnU-Net", right=False), trainer(raw, "DyCON", right=True)
    before = draw(raw, results, "demo_002")
    request.getfixturevalue("progress_png_drawn")
    assert np.array_equal(draw(raw, results, "demo_002"), before)


def test_only_one_is_right() -> None:
    truth, first, second = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 0]), np.array([1, 0, 1, 0])
    assert only_one_is_right(truth, first, second).tolist() == [1, 2, 0, 0]


def test_the_slice_is_where_the_second_is_ahead_by_most_voxels() -> None:
    right = np.zeros((4, 2, 2), int)
    right[0] = [[2, 2], [2, 1]]
    right[1] = [[2, 2], [2, 0]]
    right[2] = [[1, 1], [1, 1]]
    right[3] = 2
    truth = np.ones_like(right)
    assert most_telling_slice(right, truth) == 3
    # One voxel of the structure is too little to be shown.
    truth[3] = [[1, 0], [0, 0]]
    assert most_telling_slice(right, truth) == 1
