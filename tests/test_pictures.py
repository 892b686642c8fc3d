"""Matplotlib's settings while our pictures are drawn. That each picture is drawn so is tested beside it."""

from __future__ import annotations

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from nnunetv2_dycon.pictures import literal, matplotlib_defaults


@pytest.mark.usefixtures("progress_png_drawn")
def test_defaults_hold_within_and_the_settings_of_before_after() -> None:
    size, face = mpl.rcParams["font.size"], mpl.rcParams["axes.facecolor"]
    assert size > mpl.rcParamsDefault["font.size"]
    with matplotlib_defaults():
        assert mpl.rcParams["font.size"] == mpl.rcParamsDefault["font.size"]
        assert mpl.rcParams["axes.facecolor"] == mpl.rcParamsDefault["axes.facecolor"]
    assert (mpl.rcParams["font.size"], mpl.rcParams["axes.facecolor"]) == (size, face)


def test_a_name_between_dollar_signs_is_no_formula() -> None:
    text = Text(0, 0, literal(r"$\organ$"), figure=Figure())
    assert text.get_window_extent().width > 0
