"""ACDC: what the trainings on its test cases and on its tuning cases say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from benchmarks.common.intervals import Difference, difference_of_trainings
from benchmarks.common.report import markdown_table
from benchmarks.label_efficiency.arms import (
    ALL_COMPONENTS_ARM,
    METHOD_ARM,
    REFERENCE_ARM,
    SELF_TRAINING_ARM,
    TWO_ROUNDS_ARM,
)
from benchmarks.label_efficiency.scores import gap_closed, label_savings
from benchmarks.results.records import read_table
from benchmarks.results.titles import HARD_ARM, LABELED_BOXES_ARM, title
from benchmarks.results.todays_default import describe_mean
from nnunetv2_dycon.exceptions import UserError

DATASET = "acdc"
# Data sets whose training cases begin elsewhere, so that other patients are labeled; which ones, counted from 1.
LABELED_CASES = {DATASET: "1 to 6, the published ones", "acdc_from15": "15 to 20", "acdc_from29": "29 to 34"}
FEWEST_LABELS = 6
ALL_CASES = 140
ALL_METHODS = "ACDC, 8,000 steps"
MATRIX = "ACDC, 16,000 steps"
LONGER = "ACDC, 32,000 steps"
# By the number of steps.
LENGTHS = {8_000: ALL_METHODS, 16_000: MATRIX, 32_000: LONGER}
ARMS_BY_LENGTH = (REFERENCE_ARM, METHOD_ARM, SELF_TRAINING_ARM, TWO_ROUNDS_ARM)
# Two trainings in bfloat16, which benchmarks/results/defaults.md tells of.
BFLOAT16 = "third"
# Of those that acdc_tuning.csv has; "soft targets" is what DyCON became.
TUNED_ARMS = (REFERENCE_ARM, METHOD_ARM, "DyCON, float32", "soft targets", HARD_ARM, LABELED_BOXES_ARM)
STRUCTURES = ("right ventricle", "myocardium", "left ventricle")

# Dice by training and patient, by number of labels and arm.
Scores = Mapping[tuple[int, str], np.ndarray]


def read_matrix(series: str = MATRIX, dataset: str = DATASET, *, postprocessed: bool = False) -> Scores:
    """The mean Dice of each training and test patient, of the trainings that are compared.

    Both scans of a patient count as one, since they are not independent.

    Args:
        series: of the trainings, :data:`ALL_METHODS`, :data:`MATRIX` or :data:`LONGER`.
        dataset: one of :data:`LABELED_CASES`.
        postprocessed: of postprocessed predictions, and of those trainings alone of which they were scored.

    Returns:
        (trainings, patients) for each number of labels and arm.

    Raises:
        UserError: if a training has other patients than the others.
    """
    score = "dice_postprocessed" if postprocessed else "dice"
    labels = {
        (row["budget"], row["arm"], row["seed"]): int(row["labels"])
        for row in read_table("runs.csv")
        if (row["series"], row["dataset"]) == (series, dataset) and row[score]
    }
    dice: dict[tuple[str, str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in read_table("cases.csv"):
        training = row["budget"], row["arm"], row["seed"]
        if (row["series"], row["dataset"]) == (series, dataset) and training in labels:
            # Dice is defined on every case: each shows all three structures.
            dice[training][patient_of(row["case"])].append(float(row[score]))
    patients = [sorted(of_patients) for of_patients in dice.values()]
    if different := [training for training, found in zip(dice, patients, strict=True) if found != patients[0]]:
        raise UserError(f"cases.csv: {' '.join(different[0])} of {series} has other patients than the first training")
    trainings: dict[tuple[int, str], list[list[float]]] = defaultdict(list)
    for training, of_patients in dice.items():
        trainings[labels[training], training[1]].append(
            [float(np.mean(of_patients[patient])) for patient in sorted(of_patients)]
        )
    return {key: np.array(values) for key, values in trainings.items()}


def patient_of(case: str) -> str:
    """The patient of a case such as ``patient052_frame02``."""
    return case.split("_")[0]


def difference(scores: Scores, labels: int, arm: str, reference: str = REFERENCE_ARM) -> Difference:
    """How far an arm is above another one, over trainings and patients.

    Raises:
        KeyError: if one of them has no training.
    """
    found = difference_of_trainings(scores[labels, arm], scores[labels, reference])
    assert found is not None
    return found


def more_time_for_nnunet() -> str:
    """DyCON beside plain nnU-Net with four times as many steps, which took longer than DyCON; in words."""
    dycon, nnunet = (ALL_METHODS, METHOD_ARM), (LONGER, REFERENCE_ARM)
    first, second = (read_matrix(series)[FEWEST_LABELS, arm] for series, arm in (dycon, nnunet))
    found = difference_of_trainings(first, second)
    assert found is not None
    return (
        f"nnU-Net after 32,000 steps ({_minutes(*nnunet)} minutes) has {second.mean():.4f}, DyCON after 8,000 "
        f"({_minutes(*dycon)} minutes) has {first.mean():.4f}: {found.describe()}"
    )


def minutes_of_methods() -> str:
    """How long the trainings of :func:`table_of_methods` took, in words."""
    arms = dict.fromkeys(arm for _, arm in read_matrix(ALL_METHODS))
    return ", ".join(f"{_minutes(ALL_METHODS, arm)} minutes ({title(arm)})" for arm in arms)


def _minutes(series: str, arm: str) -> str:
    """How long each training took with 6 labels, beside others on the same machine."""
    of_arm = {"series": series, "dataset": DATASET, "budget": str(FEWEST_LABELS), "arm": arm}
    rows = [row for row in read_table("runs.csv") if of_arm.items() <= row.items()]
    *others, last = [f"{float(row['training_seconds']) / 60:.0f}" for row in rows]
    return f"{', '.join(others)} and {last}" if others else last


def table_of_lengths(by_length: Mapping[int, Scores]) -> str:
    """The mean Dice of :data:`ARMS_BY_LENGTH` by number of labels and steps, and in brackets how many trainings."""
    trained = {key for scores in by_length.values() for key in scores if key[1] in ARMS_BY_LENGTH}
    rows = []
    for labels, arm in sorted(trained, key=lambda key: (key[0], ARMS_BY_LENGTH.index(key[1]))):
        cells = [scores.get((labels, arm)) for scores in by_length.values()]
        means = ["" if dice is None else describe_mean(dice.mean(1)) for dice in cells]
        rows.append([str(labels), title(arm), *means])
    return markdown_table(["labels", "method", *(f"{steps:,} steps" for steps in by_length)], rows)


def table_of_test_cases(scores: Scores) -> str:
    """Each arm beside plain nnU-Net, by the number of labels."""
    curve = {labels: float(dice.mean()) for (labels, arm), dice in scores.items() if arm == REFERENCE_ARM}
    rows = []
    for labels, arm in sorted(scores, key=lambda key: (key[0], key[1] != REFERENCE_ARM, scores[key].mean())):
        of_trainings = scores[labels, arm].mean(1)
        row = [str(labels), title(arm), str(len(of_trainings)), f"{of_trainings.mean():.4f}"]
        row.append(f"{of_trainings.min():.4f} to {of_trainings.max():.4f}" if len(of_trainings) > 1 else "")
        if arm == REFERENCE_ARM or labels not in curve:
            rows.append([*row, "", "", ""])
            continue
        mean = float(of_trainings.mean())
        savings = label_savings(mean, labels, curve)
        closed = gap_closed(mean, curve[labels], curve[ALL_CASES]) if ALL_CASES in curve else None
        rows.append(
            [
                *row,
                difference(scores, labels, arm).describe(),
                "" if closed is None else f"{100 * closed:.0f} %",
                "" if savings is None else savings.describe(),
            ]
        )
    header = ["labels", "method", "trainings", "mean Dice", "lowest to highest"]
    header += ["difference to nnU-Net", "gap closed", "labels that nnU-Net needs"]
    return markdown_table(header, rows)


def table_of_methods(scores: Scores) -> str:
    """Every arm beside plain nnU-Net and beside DyCON, from the lowest mean Dice to the highest."""
    rows = []
    for labels, arm in sorted(scores, key=lambda key: (key[0], scores[key].mean())):
        of_trainings = scores[labels, arm].mean(1)
        differences = [
            "" if arm == reference else difference(scores, labels, arm, reference).describe()
            for reference in (REFERENCE_ARM, METHOD_ARM)
        ]
        rows.append([str(labels), title(arm), str(len(of_trainings)), f"{of_trainings.mean():.4f}", *differences])
    header = ["labels", "method", "trainings", "mean Dice", "difference to nnU-Net", "difference to DyCON"]
    return markdown_table(header, rows)


def describe_other_methods(scores: Scores) -> str:
    """How far the methods beside those of :data:`ARMS_BY_LENGTH` are above DyCON with the fewest labels; in words."""
    others = [
        arm for labels, arm in scores if labels == FEWEST_LABELS and arm not in (*ARMS_BY_LENGTH, ALL_COMPONENTS_ARM)
    ]
    differences = [
        f"{title(arm)} minus DyCON is {difference(scores, FEWEST_LABELS, arm, METHOD_ARM).describe()}"
        for arm in sorted(others)
    ]
    return ", ".join(differences)


def table_of_labeled_cases() -> str:
    """DyCON beside plain nnU-Net with the labels of other patients."""
    rows = []
    for dataset, cases in LABELED_CASES.items():
        scores = read_matrix(ALL_METHODS, dataset)
        if not {(FEWEST_LABELS, METHOD_ARM), (FEWEST_LABELS, REFERENCE_ARM)} <= scores.keys():
            continue
        means = [f"{scores[FEWEST_LABELS, arm].mean():.4f}" for arm in (REFERENCE_ARM, METHOD_ARM)]
        rows.append([cases, *means, difference(scores, FEWEST_LABELS, METHOD_ARM).describe()])
    return markdown_table(["labeled cases", "nnU-Net", "DyCON", "difference"], rows)


def table_of_tuning_cases() -> str:
    """The trainings of :data:`TUNED_ARMS` that are judged on cases held out for choosing."""
    of_trainings: dict[tuple[int, int, str, str], list[list[float]]] = defaultdict(list)
    for row in read_table("acdc_tuning.csv"):
        if row["arm"] not in TUNED_ARMS:
            continue
        training = (int(row["labels"]), int(row["steps"]), row["arm"], row["seed"])
        of_trainings[training].append([float(row[name]) for name in STRUCTURES])
    rows = []
    for (labels, steps, arm, seed), dice in of_trainings.items():
        means = np.mean(dice, axis=0)
        rows.append(
            [str(labels), f"{steps:,}", title(arm), seed, *(f"{mean:.4f}" for mean in means), f"{means.mean():.4f}"]
        )
    return markdown_table(["labels", "steps", "training", "seed", *STRUCTURES, "mean Dice"], rows)


def number_of_tuning_cases() -> int:
    """How many cases the trainings of :func:`table_of_tuning_cases` are judged on."""
    return len({row["case"] for row in read_table("acdc_tuning.csv")})
