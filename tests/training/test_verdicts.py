"""The rules that say whether a training works."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from nnunetv2_dycon.methods.schedules import gaussian_rampup
from nnunetv2_dycon.training.curves import Curves
from nnunetv2_dycon.training.verdicts import verdicts_of
from tests.training.handmade_curves import (
    EPOCHS,
    NUM_EPOCHS,
    PROGRESS,
    RAMP,
    curve,
    from_epoch,
    healthy,
    history,
    names,
    noise,
    unsupervised,
)


def test_a_training_that_works_gets_none() -> None:
    assert history(healthy()) == []


@pytest.mark.parametrize("num_epochs", [1, 2, 3, 20, 1000])
def test_the_first_epochs_get_none(num_epochs: int) -> None:
    curves = Curves({name: values[:2] for name, values in healthy().values.items()}, num_epochs)
    assert history(curves) == []


@pytest.mark.parametrize(("num_epochs", "window"), [(1, 3), (60, 3), (100, 5), (250, 12), (1000, 20)])
def test_how_many_epochs_in_a_row_count(num_epochs: int, window: int) -> None:
    assert Curves({"ramp": []}, num_epochs).window == window


def test_collapse() -> None:
    dice = from_epoch(60, 0.4, curve("teacher_pseudo_dice"))
    entropy = unsupervised(from_epoch(60, 1e-5, 0.01))
    curves = healthy(teacher_pseudo_dice=dice, student_pseudo_dice=dice, weak_view_entropy=entropy)
    assert history(curves) == [(64, "collapse")]
    (verdict,) = verdicts_of(curves)
    assert "has fallen from 0.84 to 0.40 and its entropy has fallen from 0.01 to 1e-05 nats" in verdict.text
    assert "Lower uncl_weight" in verdict.text
    assert verdict.is_problem


def test_collapse_names_the_term_with_the_largest_share() -> None:
    dice = from_epoch(60, 0.0, curve("teacher_pseudo_dice"))
    entropy = unsupervised(from_epoch(60, 1e-5, 0.01))
    curves = healthy(teacher_pseudo_dice=dice, student_pseudo_dice=dice, weak_view_entropy=entropy, fecl_share=0.6)
    assert "Lower fecl_weight" in verdicts_of(curves)[0].text


@pytest.mark.parametrize(
    ("dice", "entropy"),
    [(0.7, 1e-5), (0.4, 0.01)],
    ids=["a teacher that becomes sure and stays good", "a pseudo-Dice that falls while the teacher becomes unsure"],
)
def test_both_must_fall(dice: float, entropy: float) -> None:
    values = from_epoch(60, dice, curve("teacher_pseudo_dice"))
    both = {"teacher_pseudo_dice": values, "student_pseudo_dice": values}
    assert history(healthy(**both, weak_view_entropy=unsupervised(from_epoch(60, entropy, 0.01)))) == []


def test_a_pseudo_dice_that_falls_for_a_few_epochs_is_no_collapse() -> None:
    dice = np.where((EPOCHS >= 60) & (EPOCHS < 64), 0.0, curve("teacher_pseudo_dice"))
    assert history(healthy(teacher_pseudo_dice=dice, student_pseudo_dice=dice)) == []


def test_a_collapse_before_anything_is_found() -> None:
    nothing = {"teacher_pseudo_dice": 0.0, "student_pseudo_dice": 0.0}
    assert history(healthy(**nothing, weak_view_entropy=unsupervised(0.5 * np.exp(-10 * PROGRESS)))) == [
        (44, "collapse")
    ]
    # A teacher that has found nothing yet becomes surer too, though not as sure.
    assert history(healthy(**nothing, weak_view_entropy=unsupervised(0.5 * np.exp(-2 * PROGRESS)))) == []


def test_a_collapse_of_a_training_of_an_earlier_release() -> None:
    dice, entropy = from_epoch(60, 0.0, 0.8), unsupervised(from_epoch(60, 1e-5, 0.01))
    same = {"teacher_pseudo_dice": dice, "student_pseudo_dice": dice}
    curves = healthy(**same, weak_view_entropy=math.nan, teacher_entropy=entropy)
    assert history(curves) == [(64, "collapse")]


def test_a_teacher_below_its_student() -> None:
    student = curve("student_pseudo_dice")
    assert history(healthy(teacher_pseudo_dice=student - 0.05)) == [(44, "teacher below student")]
    assert history(healthy(teacher_pseudo_dice=student - 0.01)) == []
    sometimes = np.where(EPOCHS % 4 == 0, student, student - 0.05)
    assert history(healthy(teacher_pseudo_dice=sometimes)) == []


def test_a_term_without_a_share() -> None:
    curves = healthy(fecl_share=unsupervised(0.0002))
    assert history(curves) == [(44, "small share of fecl")]
    (verdict,) = verdicts_of(curves)
    assert verdict.text.startswith("fecl is 0.02 % of the loss")
    assert "Raise fecl_weight" in verdict.text
    assert not verdict.is_problem
    assert history(healthy(fecl_share=unsupervised(0.0002), fecl_weight=0.0)) == []
    assert history(healthy(fecl_share=unsupervised(0.0011))) == []


def test_where_no_term_has_a_share_it_is_a_problem() -> None:
    small = unsupervised(0.0002)
    both = verdicts_of(healthy(uncl_share=small, fecl_share=small))
    assert [(verdict.name, verdict.is_problem) for verdict in both] == [
        ("small share of uncl", True),
        ("small share of fecl", True),
    ]
    # A term without a weight is none.
    (verdict,) = verdicts_of(healthy(uncl_share=small, fecl_weight=0.0))
    assert verdict.name == "small share of uncl"
    assert verdict.is_problem


def test_a_term_that_is_all_of_the_loss() -> None:
    share = {"uncl_share": unsupervised(0.95)}
    curves = healthy(**share, train_losses=-0.5)
    assert history(curves) == [(44, "large share of uncl")]
    (verdict,) = verdicts_of(curves)
    assert verdict.text.startswith("uncl is 95 % of the loss")
    assert "Lower uncl_weight" in verdict.text
    # The labels are learnt, so that next to nothing is left of the supervised loss.
    assert history(healthy(**share, train_losses=-0.9)) == []
    assert history(healthy(uncl_share=unsupervised(0.88), train_losses=-0.5)) == []


def test_the_least_supervised_loss_of_a_method_counts() -> None:
    values = healthy(uncl_share=unsupervised(0.95), train_losses=0.1).values
    for least, expected in [(-1.0, ["large share of uncl"]), (0.0, [])]:
        assert names(Curves(values, NUM_EPOCHS, least_supervised_loss=least)) == expected


@pytest.mark.parametrize(("fraction", "direction"), [(0.1, "more"), (0.005, "less"), (0.0, "less")])
def test_foreground_that_drifts(fraction: float, direction: str) -> None:
    curves = healthy(weak_view_foreground_fraction=unsupervised(from_epoch(50, fraction, 0.025)))
    assert [name for _, name in history(curves)] == ["foreground drift"]
    (verdict,) = verdicts_of(curves)
    assert f"takes {100 * fraction:.2g} % of the unlabeled scans for foreground, far {direction} than" in verdict.text


@pytest.mark.parametrize("fraction", [0.05, 0.012])
def test_foreground_may_be_twice_or_half_as_much(fraction: float) -> None:
    assert history(healthy(weak_view_foreground_fraction=unsupervised(from_epoch(50, fraction, 0.025)))) == []


@pytest.mark.parametrize("fraction", [0.1, 0.005])
def test_unlabeled_scans_that_always_had_other_foreground_do_not_drift(fraction: float) -> None:
    steady = unsupervised(fraction * (1 + noise(0.1)))
    assert history(healthy(weak_view_foreground_fraction=steady)) == []


def test_foreground_that_comes_near_does_not_drift() -> None:
    fraction = unsupervised(0.3 * np.exp(-1.2 * PROGRESS))
    assert history(healthy(weak_view_foreground_fraction=fraction)) == []


def test_few_patches_with_a_small_structure_are_taken_together() -> None:
    """In four epochs of five no patch shows it, in one of five all of it."""
    teacher = unsupervised(np.where(EPOCHS % 5 == 0, 0.01, 0))
    labeled = unsupervised(np.where(EPOCHS % 5 == 2, 0.01, 0))
    curves = healthy(weak_view_foreground_fraction=teacher, labeled_foreground_fraction=labeled)
    assert history(curves) == []


def test_epochs_with_and_without_a_small_structure_are_taken_together() -> None:
    """Half the training shows it in every epoch, then the teacher and the labels in other ones."""
    teacher, labeled = (unsupervised(from_epoch(50, 0.0, 0.01) + np.where(n == EPOCHS % 5, 0.05, 0)) for n in (0, 2))
    curves = healthy(weak_view_foreground_fraction=teacher, labeled_foreground_fraction=labeled)
    assert history(curves) == []


@pytest.mark.parametrize("fraction", [0.2, 0.0])
def test_a_young_teacher_may_see_anything(fraction: float) -> None:
    drifts = unsupervised(np.where((EPOCHS >= 25) & (EPOCHS < 35), fraction, 0.025))
    assert history(healthy(weak_view_foreground_fraction=drifts)) == []


def test_the_first_batches_may_be_waited_for() -> None:
    assert history(healthy(waiting_fraction=from_epoch(4, 0.01, 0.3))) == []
    assert history(healthy(waiting_fraction=from_epoch(5, 0.01, 0.3))) == [(4, "waiting")]


def test_a_stream_that_is_waited_for() -> None:
    curves = healthy(waiting_fraction=from_epoch(20, 0.3, 0.01))
    assert history(curves) == [(24, "waiting")]
    assert "waited for unlabeled batches 30 % of its time" in verdicts_of(curves)[0].text
    assert history(healthy(waiting_fraction=np.where(EPOCHS % 4 == 0, 0.09, 0.3))) == []


def test_weights_that_wait_for_labels() -> None:
    waits = {"ramp": 0.05 * RAMP, "train_losses": -0.02}
    curves = healthy(**waits)
    assert history(curves) == [(54, "labels not learnt")]
    (verdict,) = verdicts_of(curves)
    assert "training loss -0.02" in verdict.text
    assert "wait_for_labels=false" in verdict.text
    assert history(healthy(ramp=0.2 * RAMP)) == []
    assert history(Curves(curves.values, NUM_EPOCHS, term_weights={"uncl": 0.0, "fecl": 0.0})) == []


def test_weights_that_wait_as_planned() -> None:
    """A warm-up of 60 % of the training, then a ramp-up."""
    ramp = np.array([gaussian_rampup(progress - 0.6, 0.3) if progress > 0.6 else 0.0 for progress in PROGRESS])
    curves = Curves(healthy(ramp=ramp).values, NUM_EPOCHS, 0.6, 0.3, {"uncl": 1.0})
    assert history(curves) == []


def test_weights_that_wait_at_the_start_of_a_late_ramp_up() -> None:
    planned = np.array([gaussian_rampup(progress - 0.5, 0.4) if progress > 0.5 else 0.0 for progress in PROGRESS])
    for until, expected in ((60, []), (90, [(79, "labels not learnt")])):
        ramp = planned * from_epoch(until, 1.0, 0.05)
        curves = Curves(healthy(ramp=ramp).values, NUM_EPOCHS, 0.5, 0.4, {"uncl": 1.0})
        assert history(curves) == expected


@pytest.mark.parametrize(("num_epochs", "is_problem"), [(1, False), (2, False), (3, True), (5, True)])
def test_unlabeled_scans_that_never_counted(num_epochs: int, is_problem: bool) -> None:
    """In a training too short for the rule before."""
    whole = healthy(ramp=0.0, train_losses=0.12, teacher_pseudo_dice=0.5, student_pseudo_dice=0.5)
    values = {name: values[:num_epochs] for name, values in whole.values.items()}
    curves = Curves(values, num_epochs, term_weights={"uncl": 1.0})
    assert history(curves) == [(num_epochs - 1, "never counted")]
    (verdict,) = verdicts_of(curves)
    assert "until nnU-Net's training loss of the epoch before is below 0 (it was 0.12 at the end)" in verdict.text
    assert "Train longer, or do not wait (wait_for_labels=false, with" in verdict.text
    # A shorter training is a trial, of which nobody expects more.
    assert verdict.is_problem == is_problem
    assert history(Curves(values, num_epochs, term_weights={"uncl": 0.0})) == []
    once = {**values, "ramp": [*values["ramp"][:-1], 0.1]}
    assert history(Curves(once, num_epochs, term_weights={"uncl": 1.0})) == []


def test_a_warm_up_that_never_ends() -> None:
    values = healthy(ramp=0.0).values
    (verdict,) = verdicts_of(Curves(values, NUM_EPOCHS, 1.0, 0.3, {"uncl": 1.0}))
    assert verdict.name == "never counted"
    assert "since the warm-up lasts until the end. Lower warmup_fraction" in verdict.text
    assert history(Curves(values, NUM_EPOCHS + 1, 1.0, 0.3, {"uncl": 1.0})) == []


def test_that_they_never_counted_is_not_said_beside_that_the_labels_are_not_learnt() -> None:
    assert history(healthy(ramp=0.0, train_losses=0.12)) == [(54, "labels not learnt")]


def test_a_training_that_was_too_short() -> None:
    rising = np.minimum(0.9, 0.1 + 0.8 * PROGRESS)
    same = {"teacher_pseudo_dice": rising, "student_pseudo_dice": rising}
    curves = healthy(**same)
    assert history(curves) == [(99, "too short")]
    assert "from 0.78 to 0.86 within 20 epochs" in verdicts_of(curves)[0].text
    slowly = {name: values / 4 + 0.5 for name, values in same.items()}
    assert history(healthy(**slowly)) == []


def test_each_is_given_once() -> None:
    curves = healthy(waiting_fraction=np.where(EPOCHS // 10 % 2 == 1, 0.3, 0.0))
    assert history(curves) == [(14, "waiting")]


@pytest.mark.parametrize("missing", [name for name in healthy().values if name != "ramp"])
def test_what_was_not_logged_is_not_judged(missing: str, failing: Callable[..., Curves]) -> None:
    without = failing(**{missing: math.nan})
    assert set(names(without)) < set(names(failing()))
    values = {name: values for name, values in failing().values.items() if name != missing}
    if not missing.endswith("_share"):
        assert names(Curves(values, NUM_EPOCHS, term_weights={"uncl": 1.0, "fecl": 0.1})) == names(without)


@pytest.fixture
def failing() -> Callable[..., Curves]:
    """Curves on which each rule has something to say, with some replaced."""
    defaults: dict[str, np.ndarray | float] = {
        "teacher_pseudo_dice": from_epoch(60, 0.0, 0.8) + np.where(EPOCHS >= 90, 0.1, 0),
        "student_pseudo_dice": 0.8,
        "weak_view_entropy": unsupervised(from_epoch(60, 1e-5, 0.01)),
        "uncl_share": unsupervised(0.95),
        "fecl_share": unsupervised(0.0001),
        "ramp": 0.05 * RAMP,
        "train_losses": -0.02,
        "weak_view_foreground_fraction": unsupervised(from_epoch(60, 0.0, 0.02)),
        "waiting_fraction": 0.5,
    }
    return lambda **changes: healthy(**{**defaults, **changes})
