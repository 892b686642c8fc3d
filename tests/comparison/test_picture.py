"""The picture of a comparison."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from matplotlib.text import Annotation

from nnunetv2_dycon.comparison.compare import compare_models
from nnunetv2_dycon.comparison.picture import draw_comparison, picture_of


@pytest.mark.parametrize(("rest", "fits"), [("x", True), (35 * "x", True), (200 * "x", False), (40 * "M", False)])
def test_the_worst_cases_are_named_within_the_picture(write_model: Callable[..., Path], rest: str, fits: bool) -> None:
    case = f"case_{rest}"
    worse = {case: (10, 1), "worse": (9, 1), "also_worse": (9, 8)}
    models = {
        f"{name}__nnUNetPlans__3d_fullres": write_model(
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
    assert (first == f"1: {case}") == fits
    assert first.endswith(case[-2:])
    for box in (text.get_window_extent() for axis in figure.axes for text in axis.texts if text.get_text()):
        assert box.x0 >= figure.bbox.x0
        assert box.x1 <= figure.bbox.x1
        assert box.y0 >= figure.bbox.y0
    # The number stands at the point of the case, the name below the axis, and neither makes the axis smaller.
    assert outer.bbox.y0 < by_text["1"].y0
    assert by_text[names].y1 < outer.xaxis.label.get_window_extent().y0
    assert outer.bbox.width > 0.6 * figure.bbox.width / len(figure.axes)


def test_numbers_stand_at_their_points_and_those_of_close_points_together(write_model: Callable[..., Path]) -> None:
    cases = {"apart": (10, 5), "close": (10, 8), "closer": (10, 8), "better": (1, 10)}
    models = {
        f"nnUNetTrainer__Plans{place}__3d_fullres": write_model(
            f"model_{place}", {"0": {case: (voxels[place], 10) for case, voxels in cases.items()}}
        )
        for place in range(2)
    }
    figure = picture_of(compare_models("Dataset501_X", models, ["0"]))
    figure.draw_without_rendering()
    outer, *_ = figure.axes
    places = {text.get_text(): text.xy for text in outer.texts if isinstance(text, Annotation)}
    # 2 n / (n + 10) of n voxels.
    assert places["1"] == pytest.approx((1, 10 / 15))
    assert places["2, 3"] == pytest.approx((1, 16 / 18))
    # Names of folders are longer than the axis.
    assert outer.get_ylabel() == "Dice of nnUNetTrainer\n__Plans1\n__3d_fullres"
    (names,) = (text for text in outer.texts if text.get_text().startswith("1: apart"))
    assert names.get_window_extent().y1 < outer.xaxis.label.get_window_extent().y0


def test_looks_the_same_after_nnunets_progress_png(
    write_model: Callable[..., Path], request: pytest.FixtureRequest
) -> None:
    models = {
        f"{name}__nnUNetPlans__3d_fullres": write_model(name, {"0": {"a": (found, 10), "b": (9, 8)}})
        for name, found in (("first", 9), ("second", 7))
    }
    comparison = compare_models("Dataset501_X", models, ["0"])

    def picture() -> bytes:
        file = BytesIO()
        draw_comparison(comparison, file)
        return file.getvalue()

    before = picture()
    request.getfixturevalue("progress_png_drawn")
    assert picture() == before
