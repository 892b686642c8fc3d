"""What is known of where the teacher saw foreground."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nnunetv2_dycon.training.class_locations import ClassLocations

PATCH = (32, 32, 32)


@pytest.fixture
def locations() -> ClassLocations:
    """Of two classes and two cases."""
    locations = ClassLocations(2)
    locations.start(["a", "b"])
    return locations


def patch_at(corner: tuple[int, ...], size: tuple[int, ...] = PATCH) -> Tensor:
    """(1, 3, *blocks), the locations of a patch that was not transformed; blocks of two voxels."""
    axes = [start + torch.arange(0, length, 2) for start, length in zip(corner, size, strict=True)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))[None].to(torch.int16)


def show(
    locations: ClassLocations, where: Tensor, *seen: tuple[int, ...], case: str = "a", probability: float = 0.75
) -> None:
    """Let the teacher see foreground in some blocks, (class, *block) each, and have it taken in."""
    foreground = torch.zeros(1, 2, *where.shape[2:])
    for block in seen:
        foreground[(0, *block)] = probability
    batch = {"keys": [case], "locations": where, "data": torch.empty(1, 2, *[2 * n for n in where.shape[2:]])}
    locations.see(batch, foreground)
    # The next call takes it in; this one shows nothing.
    locations.see({**batch, "locations": torch.full_like(where, -1)}, torch.zeros_like(foreground))


def known(locations: ClassLocations, case: str = "a") -> dict[int, list[list[int]]]:
    return {index: sorted(voxels.tolist()) for index, voxels in locations.of_case(case).items()}


def test_nothing_is_known_at_first(locations: ClassLocations) -> None:
    assert known(locations) == {1: [], 2: []}
    assert locations.known_case_fraction == 0
    assert locations.of_case("a")[1].shape == (0, 4)


def test_a_voxel_is_known_by_its_class_and_place_in_the_case(locations: ClassLocations) -> None:
    show(locations, patch_at((40, 0, 100)), (1, 3, 0, 15))
    assert known(locations) == {1: [], 2: [[0, 46, 0, 130]]}
    assert known(locations, "b") == {1: [], 2: []}
    assert locations.known_case_fraction == 0.5


def test_blocks_outside_of_the_case_are_left_out(locations: ClassLocations) -> None:
    where = patch_at((0, 0, 0))
    where[:, :, :2] = -1
    show(locations, where, (0, 0, 4, 4), (0, 1, 4, 4), (0, 2, 4, 4))
    assert known(locations)[1] == [[0, 4, 8, 8]]
    show(locations, torch.full_like(where, -1), (0, 3, 3, 3))
    assert known(locations)[1] == [[0, 4, 8, 8]]


def test_what_is_seen_again_as_background_is_forgotten(locations: ClassLocations) -> None:
    show(locations, patch_at((0, 0, 0)), (0, 2, 2, 2), (1, 9, 9, 9))
    show(locations, patch_at((100, 0, 0)), (0, 5, 5, 5))
    show(locations, patch_at((8, 8, 8)), (1, 2, 2, 2))
    # (4, 4, 4) lies outside of the last patch, (18, 18, 18) in it.
    assert known(locations) == {1: [[0, 4, 4, 4], [0, 110, 10, 10]], 2: [[0, 12, 12, 12]]}


def test_only_what_a_rotated_patch_shows_is_forgotten(locations: ClassLocations) -> None:
    for corner in ((2, 2), (16, 16)):
        show(locations, patch_at((0, *corner), (2, 2, 2)), (0, 0, 0, 0))
    # A diamond about (16, 16): its bounding box has (2, 2) in it, the diamond has not.
    x, y = torch.meshgrid(torch.arange(-16, 17, 2), torch.arange(-16, 17, 2), indexing="ij")
    diamond = torch.stack([torch.zeros_like(x), 16 + (x + y) / 2, 16 + (x - y) / 2])
    show(locations, diamond[None, :, None].to(torch.int16))
    assert known(locations)[1] == [[0, 0, 2, 2]]


def test_a_slice_tells_nothing_of_the_next_one(locations: ClassLocations) -> None:
    flat = patch_at((7, 0, 0), (1, 32, 32))[:, :, 0]
    show(locations, flat, (0, 3, 3))
    flat[:, 0] = 8
    show(locations, flat)
    assert known(locations)[1] == [[0, 7, 6, 6]]
    flat[:, 0] = 7
    show(locations, flat)
    assert known(locations)[1] == []


def test_the_most_certain_voxel_of_a_patch_is_noted(locations: ClassLocations) -> None:
    foreground = torch.zeros(1, 2, 16, 16, 16)
    foreground[0, 0, 3, 3, 3], foreground[0, 0, 5, 5, 5], foreground[0, 1, 7, 7, 7] = 0.6, 0.9, 0.55
    where = patch_at((0, 0, 0))
    locations.see({"keys": ["a"], "locations": where, "data": torch.empty(1, 2, *PATCH)}, foreground)
    assert known(locations) == {1: [], 2: []}
    show(locations, patch_at((200, 0, 0)))
    assert known(locations) == {1: [[0, 10, 10, 10]], 2: [[0, 14, 14, 14]]}


def test_the_eight_most_certain_voxels_of_a_class_are_kept_of_a_case(locations: ClassLocations) -> None:
    show(locations, patch_at((1000, 0, 0)), (1, 0, 0, 0), probability=0.4)
    for index, probability in enumerate([0.6, 0.9, 0.8, 0.7, 0.5, 0.9, 0.8, 0.7, 0.9, 0.4, 0.95]):
        show(locations, patch_at((100 * index, 0, 0)), (0, 0, 0, 0), probability=probability)
    assert [voxel[1] // 100 for voxel in known(locations)[1]] == [1, 2, 3, 5, 6, 7, 8, 10]
    assert known(locations)[2] == []


def test_the_state_of_cases_that_are_still_there_is_given_back(locations: ClassLocations) -> None:
    show(locations, patch_at((0, 0, 0)), (0, 2, 2, 2))
    show(locations, patch_at((0, 0, 0)), (1, 4, 2, 2), case="b")
    state = locations.state_dict()
    resumed = ClassLocations(2)
    resumed.load_state_dict(state)
    assert resumed.state_dict().keys() == {"a", "b"}
    resumed.start(["new", "a"])
    assert known(resumed) == {1: [[0, 4, 4, 4]], 2: []}
    assert known(resumed, "new") == {1: [], 2: []}
    assert resumed.state_dict().keys() == {"a"}
