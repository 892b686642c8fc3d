"""Copying boxes between crops."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch

from nnunetv2_dycon.views.copy_paste import (
    MixedPatches,
    exchange_boxes,
    invert_every_second,
    paste_boxes,
    paste_boxes_of_next,
    random_box_mask,
    random_partners,
    share_of_batch,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("patch_size", "fraction", "box"),
    [((9, 12, 6), 2 / 3, (6, 8, 4)), ((7, 5), 0.5, (4, 2)), ((4, 4, 40), 0.1, (1, 1, 4)), ((3, 3), 1, (3, 3))],
)
def test_each_patch_has_one_whole_box(patch_size: tuple[int, ...], fraction: float, box: tuple[int, ...]) -> None:
    mask = random_box_mask(patch_size, fraction, 20, "cpu", generator())
    assert mask.shape == (20, 1, *patch_size)
    assert mask.dtype == torch.bool
    for patch in mask[:, 0]:
        places = patch.nonzero()
        lengths = (places.amax(0) - places.amin(0) + 1).tolist()
        assert lengths == list(box)
        assert len(places) == torch.tensor(box).prod()


def test_boxes_lie_at_all_places_equally_often_and_independently() -> None:
    mask = random_box_mask((5, 4), 0.5, 6000, "cpu", generator())[:, 0]
    starts = torch.stack([mask.any(2).int().argmax(1), mask.any(1).int().argmax(1)], dim=1)
    places, counts = starts.unique(dim=0, return_counts=True)
    # A box of 2 x 2 has 4 x 3 places.
    assert places.tolist() == [[x, y] for x in range(4) for y in range(3)]
    assert (counts - 500).abs().max() < 100


def test_boxes_that_wrap_around_cover_all_voxels_equally_often() -> None:
    mask = random_box_mask((6, 5), 0.5, 6000, "cpu", generator(), wraps=True)[:, 0]
    assert (mask.flatten(1).sum(1) == 3 * 2).all()
    # The box of 3 x 2 voxels covers a fifth of the patch.
    assert (mask.float().mean(0) - 0.2).abs().max() < 0.02
    along_first_axis = mask.any(2)
    assert (along_first_axis.sum(1) == 3).all()
    # One piece, or one at each end.
    changes = along_first_axis != along_first_axis.roll(1, 1)
    assert (changes.sum(1) == 2).all()
    assert (along_first_axis[:, 0] & along_first_axis[:, -1]).any()


def test_a_box_that_must_fit_covers_the_middle_always() -> None:
    assert random_box_mask((6, 6), 0.5, 1000, "cpu", generator())[:, 0, 2:4, 2:4].flatten(1).any(1).all()


def test_the_box_follows_torchs_seed() -> None:
    torch.manual_seed(1)
    first, second = (random_box_mask((32, 32), 0.5, 4, "cpu") for _ in range(2))
    torch.manual_seed(1)
    assert torch.equal(random_box_mask((32, 32), 0.5, 4, "cpu"), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("fraction", [0, -0.5, 1.01, float("nan")])
def test_fractions_out_of_range_are_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match="fraction"):
        random_box_mask((4, 4), fraction, 1, "cpu")


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_every_second_patch_is_inverted(batch: int) -> None:
    mask = random_box_mask((6, 6), 0.5, batch, "cpu", generator())
    firsts = set()
    for seed in range(20):
        patches = zip(mask, invert_every_second(mask, generator(seed)), strict=True)
        inverted = [not torch.equal(before, after) for before, after in patches]
        assert all(first != second for first, second in itertools.pairwise(inverted))
        firsts.add(inverted[0])
    assert firsts == {True, False}


def test_an_inverted_patch_is_the_exact_complement() -> None:
    mask = random_box_mask((6, 6), 0.5, 2, "cpu", generator())
    changed = mask ^ invert_every_second(mask, generator())
    assert sorted([changed[0].all().item(), changed[1].all().item()]) == [False, True]
    assert sorted([changed[0].any().item(), changed[1].any().item()]) == [False, True]


@pytest.mark.parametrize(("batch", "others"), [(2, 2), (3, 2), (2, 5), (1, 4), (4, 1)])
def test_partners_are_all_of_the_other_batch_in_turn(batch: int, others: int) -> None:
    seen = set()
    torch.manual_seed(0)
    for _ in range(50):
        partners = random_partners(batch, others, "cpu")
        assert partners.tolist() == [(partners[0].item() + i) % others for i in range(batch)]
        seen |= set(partners.tolist())
    assert seen == set(range(others))


@pytest.mark.parametrize(("mix", "labeled_voxels"), [(paste_boxes, [27, 27]), (exchange_boxes, [27, 216 - 27])])
def test_boxes_of_the_partner_are_seen_at_their_place(mix: Callable[..., MixedPatches], labeled_voxels: list) -> None:
    unlabeled, labeled = torch.randn(2, 2, 6, 6, 6), torch.randn(3, 2, 6, 6, 6)
    mixed = mix(unlabeled, labeled, 0.5)
    assert sorted(mixed.from_partner.flatten(1).sum(1).tolist()) == labeled_voxels
    for patch, mask, own, partner in zip(
        mixed.patches, mixed.from_partner, unlabeled, labeled[mixed.partners], strict=True
    ):
        mask = mask.expand_as(patch)
        assert torch.equal(patch[mask], partner[mask])
        assert torch.equal(patch[~mask], own[~mask])


@pytest.mark.parametrize("mix", [paste_boxes, exchange_boxes])
def test_nothing_waits_for_the_device(mix: Callable[..., MixedPatches]) -> None:
    # A tensor on the meta device has no values: whatever asks for one raises.
    data = torch.empty(3, 1, 8, 8, 8, device="meta")
    mix(data[:2], data, 0.5)


def test_pasted_boxes_wrap_around_and_exchanged_ones_do_not() -> None:
    patches = torch.zeros(500, 1, 8, 8)
    pasted = paste_boxes(patches, patches, 0.5).from_partner
    exchanged = exchange_boxes(patches, patches, 0.5).from_partner
    # The box itself, of 4 x 4 voxels, also where all but a box is labeled.
    exchanged = exchanged ^ (exchanged.flatten(1).sum(1) > 16).view(-1, 1, 1, 1)
    for mask, wraps in ((pasted, True), (exchanged, False)):
        rows = mask[:, 0].any(2)
        assert bool((rows[:, 0] & rows[:, -1]).any()) == wraps


def test_a_share_of_the_patches_gets_a_box_of_a_labeled_one() -> None:
    unlabeled, labeled = torch.zeros(4, 1, 6, 6), torch.ones(2, 1, 6, 6)
    with_box = torch.stack([paste_boxes(unlabeled, labeled, 0.5, 0.5).patches.flatten(1).any(1) for _ in range(200)])
    assert (with_box.sum(1) == 2).all()
    # Every second one, from the first or from the second.
    assert (with_box[:, 0] != with_box[:, 1]).all()
    assert 60 < with_box[:, 0].sum() < 140
    assert not paste_boxes(unlabeled, labeled, 0.5, 0).patches.any()


@pytest.mark.parametrize(("batch", "share"), [(2, 0.25), (3, 0.5), (5, 0.7), (4, 1.0), (4, 0.0)])
def test_shares_are_exact_on_average_and_as_near_as_can_be_in_each_batch(batch: int, share: float) -> None:
    torch.manual_seed(0)
    chosen = torch.stack([share_of_batch(batch, share, "cpu") for _ in range(4000)])
    number = chosen.sum(1)
    assert ((number - share * batch).abs() < 1).all()
    assert number.float().mean().item() == pytest.approx(share * batch, abs=0.04)
    assert torch.allclose(chosen.float().mean(0), torch.tensor(share), atol=0.04)


def test_boxes_of_the_next_patch_may_wrap_around() -> None:
    mask = paste_boxes_of_next(torch.zeros(300, 1, 8, 8), 0.75, wraps=True).from_partner[:, 0]
    rows = mask.any(2)
    assert (rows[:, 0] & rows[:, -1] & ~rows.all(1)).any()
    assert (mask.flatten(1).sum(1) == 36).all()


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_a_box_of_the_next_patch_is_pasted_where_it_fits(batch: int) -> None:
    patches = torch.randn(batch, 2, 6, 9)
    mixed = paste_boxes_of_next(patches, 2 / 3)
    assert mixed.partners.tolist() == [(index + 1) % batch for index in range(batch)]
    for index in range(batch):
        box = mixed.from_partner[index, 0].nonzero()
        if batch == 1:
            assert len(box) == 0
            continue
        assert (box.amax(0) - box.amin(0) + 1).tolist() == [4, 6]
        assert len(box) == 24
        expected = torch.where(mixed.from_partner[index], patches[(index + 1) % batch], patches[index])
        assert torch.equal(mixed.patches[index], expected)
