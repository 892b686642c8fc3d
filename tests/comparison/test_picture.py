"""The picture of a comparison."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nnunetv2_dycon.comparison.compare import compare_models
from nnunetv2_dycon.comparison.picture import picture_of


@pytest.mark.parametrize("letters", [1, 39, 40, 200])
def test_the_worst_cases_are_named_within_the_picture(write_model: Callable[..., Path], letters: int) -> None:
    case = "case_" + letters * "x"
    worse = {case: (10, 1), "worse": (9, 1), "also_worse": (9, 8)}
    models = {
        name: write_model(
            name, {"0": {each: (voxels[place], 10) for each, voxels in {**worse, "better": (1, 9)}.items()}}
        )
        for place, name in enumerate(("first", "second"))
    }
    figure = picture_of(compare_models("Dataset501_X", models, ["0"]))
    figure.draw_without_rendering()
    outer, *_ = figure.axes
    by_text = {text.get_text(): text.get_window_extent() for text in outer.texts}
    (names,) = (text for text in by_text if text.startswith("1: case_"))
    first, *others = names.splitlines()
    assert others == ["2: worse", "3: also_worse"]
    assert (first == f"1: {case}") == (len(case) <= 44)
    for box in by_text.values():
        assert box.x0 >= figure.bbox.x0
        assert box.x1 <= figure.bbox.x1
        assert box.y0 >= figure.bbox.y0
    # The number stands at the point of the case, the name below the axis, and neither makes the axis smaller.
    assert outer.bbox.y0 < by_text["1"].y0
    assert by_text[names].y1 < outer.xaxis.label.get_window_extent().y0
    assert outer.bbox.width > 0.6 * figure.bbox.width / len(figure.axes)
