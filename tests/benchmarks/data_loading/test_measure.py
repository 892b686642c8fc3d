from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.data_loading import measure
from benchmarks.data_loading.report import LABELED, TWO_VIEWS, draw, result, table
from nnunetv2_dycon.training.unlabeled_stream import nnUNetTwoViewDataLoader


@pytest.fixture
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "nnUNet_n_proc_DA"):
        monkeypatch.setenv(name, "0")


@pytest.mark.usefixtures("_variables")
def test_the_loaders_differ_in_their_views_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn_from = []

    @contextmanager
    def draw_from(loader: object, _: int) -> Iterator[Callable[[], object]]:
        drawn_from.append(loader)
        yield lambda: next(loader)

    monkeypatch.setattr(measure, "_draw_from", draw_from)
    measure.prepare(tmp_path, measure.CASES["tiny"], scans=1)
    measure.patches_per_second(tmp_path, workers=0, batches=1, rounds=1)
    labeled, two_views = drawn_from
    assert isinstance(two_views, nnUNetTwoViewDataLoader)
    assert not isinstance(labeled, nnUNetTwoViewDataLoader)
    assert labeled.batch_size == two_views.batch_size == 2
    assert tuple(labeled.patch_size) == tuple(two_views.patch_size)
    assert next(labeled)["data"].shape == (2, 1, 16, 16, 16)
    assert next(two_views)["data"].shape == (2, 2, 16, 16, 16)


def test_the_rate_of_all_rounds_is_all_patches_by_all_the_time() -> None:
    # 12 patches in 1 s and 12 in 3 s are 24 in 4 s.
    figures = result("tiny", {LABELED: [12.0, 4.0], TWO_VIEWS: [4.5, 4.5]})
    assert figures["patches_per_second"] == {LABELED: pytest.approx(6), TWO_VIEWS: pytest.approx(4.5)}
    assert figures["ratio"] == pytest.approx(0.75)


def test_the_table_says_whether_the_bar_holds(tmp_path: Path) -> None:
    low = result("low", {LABELED: [10.0], TWO_VIEWS: [8.0]})
    high = result("high", {LABELED: [10.0], TWO_VIEWS: [9.0]})
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table([low, high]).splitlines()[2:]]
    assert lines == [["low", "10", "8", "0.800", ">= 0.85: NO"], ["high", "10", "9", "0.900", ">= 0.85: yes"]]
    draw(tmp_path / "loading.png", [low, high], {"device": "CPU"})
    assert (tmp_path / "loading.png").read_bytes().startswith(b"\x89PNG")
