"""Is a training working? The rules, as functions of what it logged.

Each rule looks at the last epochs of the curves that it is given: one in twenty of the training's epochs, from 3 to 20.
A value that was not logged is NaN, and a rule that would need it says nothing. The log of a training and
``nnunetv2_dycon doctor`` share these rules, which ``documentation/is_it_working.md`` has in words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from nnunetv2_dycon.training.curves import Curves

_REMEDY = 'with "nnunetv2_dycon plan"'
# Of the best pseudo-Dice, and of the entropy that the teacher had then.
_COLLAPSED_DICE, _COLLAPSED_ENTROPY = 2 / 3, 1 / 2
# A pseudo-Dice below the first cannot fall; below the second, nothing is found. Every young teacher becomes surer.
_LEAST_DICE, _NO_DICE, _ENTROPY_WITHOUT_DICE = 0.1, 0.05, 1 / 10
_DICE_BELOW_STUDENT = 0.02
_LEAST_SHARE, _LARGEST_SHARE = 0.001, 0.9
# Above the least supervised loss: below it, little is left of which a term could have a share.
_LEARNT_LOSS = 0.2
_FOREGROUND_FACTOR, _DRIFT = 3.0, 1.5
_WAITING = 0.1
_LEARNT_SHARE = 0.1
_RISING_DICE, _FEWEST_EPOCHS_OF_A_RISE = 0.03, 10


@dataclass(frozen=True)
class Verdict:
    """What is wrong with a training, and what to change.

    Attributes:
        name: of the rule, with the term that it is about; each is given once in a training.
        text: one or two sentences.
        is_problem: False where the training is none the worse for it.
    """

    name: str
    text: str
    is_problem: bool = True


Rule = Callable[[Curves], Iterator[Verdict]]


def verdicts_of(curves: Curves) -> list[Verdict]:
    """What the rules say of a training after its last epoch."""
    return [verdict for rule in RULES for verdict in rule(curves)]


def first_verdicts(curves: Curves) -> list[tuple[int, Verdict]]:
    """What was to be said of a training up to its last epoch, each verdict once, with the epoch after which it was.

    Epochs count from 0, as in nnU-Net's log.
    """
    found: dict[str, tuple[int, Verdict]] = {}
    # Once, not for each epoch anew. nnU-Net's Dice of each class is a list.
    numbers = {name: curves.of(name) for name, values in curves.values.items() if np.ndim(values) == 1}
    curves = replace(curves, values=numbers)
    for epoch in range(curves.epochs):
        for verdict in verdicts_of(curves.until(epoch + 1)):
            found.setdefault(verdict.name, (epoch, verdict))
    return list(found.values())


def collapse(curves: Curves) -> Iterator[Verdict]:
    """The teacher's entropy and its pseudo-Dice have fallen together: it is sure of what is wrong."""
    dice, entropy = curves.of("teacher_pseudo_dice"), _entropy(curves)
    now = entropy[-curves.window :]
    best = _best_window(dice, curves.window)
    if best is None or np.isnan(now).any():
        return
    known = entropy[~np.isnan(entropy)]
    then = entropy[best]
    before = np.median(known[: curves.window] if np.isnan(then).all() else then[~np.isnan(then)])
    last, highest = dice[-curves.window :], float(np.median(dice[best]))
    if highest < _LEAST_DICE:
        is_low, limit = curves.is_settled and bool((last < _NO_DICE).all()), _ENTROPY_WITHOUT_DICE
    else:
        is_low, limit = bool((last < _COLLAPSED_DICE * highest).all()), _COLLAPSED_ENTROPY
    if is_low and np.median(now) < limit * before:
        shares = {name: curves.last(f"{name}_share")[-1] for name in _terms(curves)}
        largest = max(shares, key=lambda name: np.nan_to_num(shares[name]))
        history = "is" if highest < _LEAST_DICE else f"has fallen from {highest:.2f} to"
        yield Verdict(
            "collapse",
            f"Collapse: the teacher's pseudo-Dice {history} {last[-1]:.2f} and its entropy has fallen from "
            f"{before:.2g} to {np.median(now):.2g} nats, so it is sure of what is wrong, and teaches it. Lower "
            f"{largest}_weight, or give the labels more time alone by a larger warmup_fraction, {_REMEDY}.",
        )


def teacher_below_student(curves: Curves) -> Iterator[Verdict]:
    """The moving average stays below the student that it follows."""
    student, teacher = curves.last("student_pseudo_dice"), curves.last("teacher_pseudo_dice")
    if curves.is_settled and bool((student - teacher > _DICE_BELOW_STUDENT).all()):
        yield Verdict(
            "teacher below student",
            f"The teacher has stayed below its student for {curves.window} epochs (pseudo-Dice {teacher.mean():.2f} "
            f"and {student.mean():.2f}), so it holds the student back. Lower ema_decay, so that it follows faster, or "
            f'deploy the student (deployed_network="student"), {_REMEDY}.',
        )


def share_of_a_term(curves: Curves) -> Iterator[Verdict]:
    """A term has next to no share of the loss, or nearly all of it."""
    if not curves.is_settled:
        return
    loss = curves.last("train_losses") - curves.least_supervised_loss
    counting = [term for term in _terms(curves) if (curves.last(f"{term}_weight") > 0).all()]
    shares = {term: curves.last(f"{term}_share") for term in counting}
    for term, share in shares.items():
        if (share < _LEAST_SHARE).all():
            yield Verdict(
                f"small share of {term}",
                f"{term} is {100 * share.mean():.2g} % of the loss, too little to change anything. Raise {term}_weight "
                f"{_REMEDY}, or set it to 0, which saves its time.",
                is_problem=all((other < _LEAST_SHARE).all() for other in shares.values()),
            )
        elif (share > _LARGEST_SHARE).all() and (loss > _LEARNT_LOSS).all():
            yield Verdict(
                f"large share of {term}",
                f"{term} is {100 * share.mean():.0f} % of the loss, so the labels hardly count. Lower {term}_weight "
                f"{_REMEDY}.",
            )


def foreground_drift(curves: Curves) -> Iterator[Verdict]:
    """The teacher sees far more or far less foreground in unlabeled scans than labeled scans have, and ever more so."""
    teacher, labeled = curves.of("weak_view_foreground_fraction"), curves.of("labeled_foreground_fraction")
    known = ~np.isnan(teacher + labeled)
    if not curves.is_settled or not known[-curves.window :].all():
        return
    # Together, since in a single epoch few patches may show any foreground.
    first, last = np.flatnonzero(known)[: curves.window], slice(-curves.window, None)
    start, end = (_ratio(teacher[epochs], labeled[epochs]) for epochs in (first, last))
    if end > _FOREGROUND_FACTOR and end > _DRIFT * start:
        direction, remedy = "more", "lower the weights of the unsupervised terms, or raise warmup_fraction"
    elif end < 1 / _FOREGROUND_FACTOR and end < start / _DRIFT:
        direction, remedy = "less", "give the labels more time alone by a larger warmup_fraction"
    else:
        return
    yield Verdict(
        "foreground drift",
        f"Pseudo-labels have drifted: the teacher takes {_percent(teacher[last])} of the unlabeled scans for "
        f"foreground, far {direction} than the {_percent(labeled[last])} that the labeled ones have. Unless the "
        f"unlabeled scans are like that, {remedy}, {_REMEDY}.",
    )


def waiting(curves: Curves) -> Iterator[Verdict]:
    """The training waits for unlabeled batches."""
    fraction = curves.last("waiting_fraction")
    if (fraction > _WAITING).all():
        yield Verdict(
            "waiting",
            f"The training has waited for unlabeled batches {100 * fraction.mean():.0f} % of its time. Give it more "
            "worker processes (environment variable nnUNet_n_proc_DA), if there are cores for them, or put "
            "nnUNet_preprocessed on a faster disk.",
        )


def labels_not_learnt(curves: Curves) -> Iterator[Verdict]:
    """In the second half of the training, the unsupervised weights still wait for the labels to be learnt."""
    epochs = np.arange(curves.epochs - curves.window, curves.epochs)
    planned = [curves.planned_ramp((epoch + 0.5) / curves.num_epochs) for epoch in epochs]
    if curves.has_terms and epochs[0] >= curves.num_epochs / 2 - 1e-6 and min(planned) > 0.5:
        learnt = curves.last("ramp") / planned
        if (learnt < _LEARNT_SHARE).all():
            yield Verdict(
                "labels not learnt",
                f"The unlabeled scans hardly count yet, since the labels are not learnt (training loss "
                f"{curves.last('train_losses').mean():.2f}): the unsupervised weights wait for it. Train longer, see "
                f"whether nnUNetTrainer learns these labels, or do not wait (wait_for_labels=false, {_REMEDY}).",
            )


def never_counted(curves: Curves) -> Iterator[Verdict]:
    """At the end of the training, the unsupervised losses have had no weight in any epoch; unless that was said."""
    done = curves.epochs >= max(curves.num_epochs, 1)
    if not done or not curves.has_terms or (curves.of("ramp") != 0).any() or any(labels_not_learnt(curves)):
        return
    if curves.planned_ramp(1.0) > 0:
        loss = curves.of("train_losses")[-1]
        when = "it was at the end only" if loss < 0 else f"it was {loss:.2f} at the end"
        reason = f"they wait until nnU-Net's training loss of the epoch before is below 0 ({when})"
        remedy = "Train longer, or do not wait (wait_for_labels=false"
    else:
        reason, remedy = "the warm-up lasts until the end", "Lower warmup_fraction (for example warmup_fraction=0.1"
    yield Verdict(
        "never counted",
        f"The unlabeled scans never counted, so this model learnt from the labels alone: the unsupervised losses had "
        f"no weight in any epoch, since {reason}. {remedy}, {_REMEDY}).",
        is_problem=curves.is_long_enough,
    )


def too_short(curves: Curves) -> Iterator[Verdict]:
    """At the end of the training, the pseudo-Dice still rises."""
    dice, count = curves.of("teacher_pseudo_dice"), max(round(curves.num_epochs / 10), 3)
    if curves.epochs < max(curves.num_epochs, 2 * count, _FEWEST_EPOCHS_OF_A_RISE):
        return
    before, last = (float(np.median(part)) for part in (dice[-2 * count : -count], dice[-count:]))
    if last - before > _RISING_DICE:
        yield Verdict(
            "too short",
            f"The pseudo-Dice still rose at the end, from {before:.2f} to {last:.2f} within {2 * count} epochs: this "
            "training was too short. Choose a trainer with more epochs; without a number in its name it has 1000.",
        )


RULES: tuple[Rule, ...] = (
    collapse,
    teacher_below_student,
    share_of_a_term,
    foreground_drift,
    waiting,
    labels_not_learnt,
    never_counted,
    too_short,
)


def _terms(curves: Curves) -> list[str]:
    return [name.removesuffix("_share") for name in curves.values if name.endswith("_share")]


def _entropy(curves: Curves) -> np.ndarray:
    """Of the teacher on unlabeled patches; DyCON's own value where it is the only one."""
    entropy = curves.of("weak_view_entropy")
    return curves.of("teacher_entropy") if np.isnan(entropy).all() else entropy


def _best_window(values: np.ndarray, length: int) -> slice | None:
    """Where the median of so many values in a row is highest; None for fewer, and if the last ones have a NaN."""
    if len(values) < length or np.isnan(values[-length:]).any():
        return None
    medians = np.median(np.lib.stride_tricks.sliding_window_view(values, length), axis=1)
    best = int(np.nanargmax(medians))
    return slice(best, best + length)


def _ratio(values: np.ndarray, reference: np.ndarray) -> float:
    """NaN, which no comparison is true of, where there is nothing to compare with."""
    total = float(reference.sum())
    return float(values.sum()) / total if total > 0 else math.nan


def _percent(fractions: np.ndarray) -> str:
    return f"{100 * float(fractions.mean()):.2g} %"
