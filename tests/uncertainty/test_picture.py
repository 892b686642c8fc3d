"""Which slices are drawn, and the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nnunetv2_dycon.uncertainty.picture import draw_case, least_certain_slices


def test_the_least_certain_slices_come_first() -> None:
    entropy = np.zeros((4, 5, 6), np.float32)
    entropy[2], entropy[0, 0] = 0.5, 0.6
    assert least_certain_slices(entropy, 0, 2) == [2, 0]
    assert least_certain_slices(entropy, 1, 1) == [0]


def test_neighbours_are_left_out() -> None:
    entropy = np.zeros((40, 2, 2), np.float32)
    entropy[20], entropy[21], entropy[23], entropy[24], entropy[5] = 1.0, 0.9, 0.8, 0.7, 0.1
    assert least_certain_slices(entropy, 0, 3) == [20, 24, 5]


def test_there_are_no_more_slices_than_the_scan_has() -> None:
    assert least_certain_slices(np.zeros((1, 5, 5), np.float32), 0, 3) == [0]


def test_the_picture_shows_the_least_certain_slice_across_the_coarsest_axis(tmp_path: Path) -> None:
    entropy, mask = np.zeros((8, 12, 30), np.float32), np.zeros((8, 12, 30), bool)
    entropy[:, 7] = 0.69
    mask[2:6, 3:9, 10:20] = True
    scan = np.random.default_rng(0).random(mask.shape)
    for name, values in (("certain", np.zeros_like(entropy)), ("uncertain", entropy)):
        draw_case(tmp_path / f"{name}.png", name, scan, {"organ": mask}, values, (1.0, 3.0, 1.0), 0.6931, number=1)
    certain, uncertain = (
        np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB")) for name in ("certain", "uncertain")
    )
    # The brightest colour of the map fills the slice, and is elsewhere in the colour bar alone.
    bright = [((image > (240, 240, 160)).all(-1) & (image[..., 2] < 230)).sum() for image in (certain, uncertain)]
    assert bright[1] > 10 * max(bright[0], 1)


def test_names_are_no_formulas(tmp_path: Path) -> None:
    """Matplotlib refuses to draw the formula between these dollar signs."""
    scan = np.zeros((4, 5, 6), np.float32)
    draw_case(tmp_path / "a.png", "case $_$", scan, {r"$\organ$": scan > 0}, scan, (1.0, 1.0, 1.0), 0.6931)
    assert (tmp_path / "a.png").is_file()


def test_looks_the_same_after_nnunets_progress_png(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    scan = np.zeros((4, 5, 6), np.float32)

    def picture() -> bytes:
        draw_case(tmp_path / "a.png", "case", scan, {"organ": scan > 0}, scan, (1.0, 1.0, 1.0), 0.6931)
        return (tmp_path / "a.png").read_bytes()

    before = picture()
    request.getfixturevalue("progress_png_drawn")
    assert picture() == before
