from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from nnunetv2.postprocessing.remove_connected_components import remove_all_but_largest_component_from_segmentation

from nnunetv2_dycon.postprocessing.largest_components import (
    keep_largest_components,
    reasons_against_one_component,
    structures_of,
    structures_of_one_component,
)

HEART = {"labels": {"background": 0, "cavity": 1, "wall": 2}}
WHOLE, CAVITY, WALL = (1, 2), (1,), (2,)


def test_the_foreground_as_a_whole_comes_first() -> None:
    assert structures_of(HEART) == [WHOLE, CAVITY, WALL]
    assert structures_of({"labels": {"background": 0, "nodule": 4, "ignore": 5}}) == [(4,)]
    assert structures_of({"labels": {"background": 0, "whole": [1, 2, 3], "core": [2]}}) == [(1, 2, 3)]
    assert structures_of({"labels": {"background": 0, "cavity": [1], "wall": [2]}}) == [WHOLE, CAVITY, WALL]


def named(label_maps: Iterable[np.ndarray]) -> list[tuple[str, np.ndarray]]:
    """Label maps with the names of their cases."""
    return [(f"case_{index}", label_map) for index, label_map in enumerate(label_maps)]


def row(text: str) -> np.ndarray:
    """A label map of one row."""
    return np.array([[int(character) for character in text]], dtype=np.uint8)


@pytest.mark.parametrize(
    ("label_maps", "expected"),
    [
        (["01220"] * 4, [WHOLE, CAVITY, WALL]),
        # Three cases are too few.
        (["01220"] * 3, []),
        (["01220"] * 4 + ["00000"], [WHOLE, CAVITY, WALL]),
        # One case has two walls, which the cavity between them makes one foreground.
        (["01220"] * 4 + ["02120"], [WHOLE, CAVITY]),
        (["01220"] * 4 + ["01201"], [WALL]),
        # A case without a structure says nothing of it.
        (["01220"] * 3 + ["00220"], [WHOLE, WALL]),
        (["00000"] * 9, []),
        # 1 of 100 voxels is no second component, 1 of 99 is one.
        (["0" + "2" * 99 + "02"] * 4, [WHOLE, WALL]),
        (["0" + "2" * 98 + "02"] * 4, []),
    ],
)
def test_structures_of_one_component(label_maps: list[str], expected: list[tuple[int, ...]]) -> None:
    assert structures_of_one_component(named(map(row, label_maps)), HEART) == expected


def test_voxels_that_touch_at_a_corner_are_connected() -> None:
    corner = np.zeros((2, 2, 2), dtype=np.uint8)
    corner[0, 0, 0] = corner[1, 1, 1] = 1
    nodules = {"labels": {"background": 0, "nodule": 1}}
    assert structures_of_one_component(named([corner] * 4), nodules) == [(1,)]
    assert (keep_largest_components(corner, [(1,)]) == corner).all()


def test_what_is_ignored_may_be_anything() -> None:
    labels = {"labels": HEART["labels"] | {"ignore": 3}}
    assert structures_of_one_component(named([row("01220")] * 4), labels) == [WHOLE, CAVITY, WALL]
    label_maps = named([*[row("01220")] * 4, row("01223")])
    assert structures_of_one_component(label_maps, labels) == []
    assert reasons_against_one_component(label_maps, labels) == dict.fromkeys(
        (WHOLE, CAVITY, WALL), "case_4 has ignored voxels"
    )


def test_the_reasons() -> None:
    label_maps = named(map(row, ["01220", "01202", "00222", "00000", "02220"]))
    assert reasons_against_one_component(label_maps, HEART) == {
        WHOLE: "case_1 has 2 components",
        CAVITY: "2 cases of at least 4",
        WALL: "case_1 has 2 components",
    }


@pytest.mark.parametrize(
    ("structures", "expected"),
    [
        ([], "1022011220021"),
        ([WHOLE], "0000011220000"),
        ([WALL], "1022011000001"),
        ([CAVITY], "0022011220020"),
        ([WHOLE, CAVITY, WALL], "0000011220000"),
    ],
)
def test_largest_components_are_kept(structures: list[tuple[int, ...]], expected: str) -> None:
    label_map = row("1022011220021")
    before = label_map.copy()
    kept = keep_largest_components(label_map, structures)
    assert "".join(map(str, kept[0])) == expected
    assert kept.dtype == label_map.dtype
    assert (label_map == before).all()


@pytest.mark.parametrize(
    ("label_map", "expected"),
    [
        # A gap between two classes that touch elsewhere: neither is lost.
        ("1111101222022", "1111101222000"),
        ("1111110222022", "1111110222000"),
        ("1111120222222222022", "1111120222222222000"),
        # A tenth of the class is in the largest component.
        ("11111111111120222222222", "11111111111120000000000"),
        ("1111111111112022222222202", "1111111111112022222222200"),
    ],
)
def test_no_class_is_lost_with_the_foreground_s_other_components(label_map: str, expected: str) -> None:
    kept = keep_largest_components(row(label_map), [WHOLE])
    assert "".join(map(str, kept[0])) == expected


def test_float_maps_are_read_too() -> None:
    assert (keep_largest_components(row("1101").astype(np.float32), [CAVITY]) == row("1100")).all()


def test_as_nnunet_does() -> None:
    generator = np.random.default_rng(0)
    label_map = generator.choice(3, size=(20, 21, 22), p=(0.94, 0.03, 0.03)).astype(np.uint8)
    label_map[3:9, 4:12, 5:9], label_map[9:12, 4:12, 5:9] = 1, 2
    expected = label_map
    for structure in (WHOLE, CAVITY, WALL):
        expected = remove_all_but_largest_component_from_segmentation(expected, structure)
    kept = keep_largest_components(label_map, [WHOLE, CAVITY, WALL])
    assert (kept == expected).all()
    assert 0 < np.count_nonzero(kept) < np.count_nonzero(label_map)


def test_a_map_of_background_stays() -> None:
    assert (keep_largest_components(row("0000"), [WHOLE, CAVITY]) == row("0000")).all()
