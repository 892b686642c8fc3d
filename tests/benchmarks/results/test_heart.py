"""Trainings on ACDC."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.results import heart
from benchmarks.results.records import read_runs, read_table


def test_a_patient_has_two_scans_so_that_the_mean_over_patients_is_that_over_cases() -> None:
    scores = heart.read_matrix()
    assert {dice.shape[1] for dice in scores.values()} == {20}
    of_runs = {(run.labels, run.arm) for run in read_runs() if run.series == heart.MATRIX}
    assert set(scores) == of_runs
    for labels, arm in of_runs:
        dice = [run.dice for run in read_runs() if (run.series, run.labels, run.arm) == (heart.MATRIX, labels, arm)]
        assert sorted(scores[labels, arm].mean(1)) == pytest.approx(sorted(dice), abs=1e-5)


def test_postprocessed_scores_are_of_the_trainings_that_have_them() -> None:
    rows = [row for row in read_table("runs.csv") if row["series"] == heart.LONGER]
    scores = heart.read_matrix(heart.LONGER, postprocessed=True)
    for labels, arm in scores:
        dice = [
            float(row["dice_postprocessed"])
            for row in rows
            if (int(row["labels"]), row["arm"]) == (labels, arm) and row["dice_postprocessed"]
        ]
        assert sorted(scores[labels, arm].mean(1)) == pytest.approx(sorted(dice), abs=1e-5)
    assert 0 < sum(map(len, scores.values())) < len(rows)


def test_table_by_hand() -> None:
    scores = {
        (6, "nnUNet"): np.array([[0.4, 0.6], [0.5, 0.7]]),
        (6, "DyCON"): np.array([[0.7, 0.7]]),
        (12, "nnUNet"): np.array([[0.7, 0.7]]),
        (140, "nnUNet"): np.array([[0.8, 0.9]]),
    }
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in heart.table_of_test_cases(scores).splitlines()]
    assert rows[2] == ["6", "nnU-Net", "2", "0.5500", "0.5000 to 0.6000", "", "", ""]
    assert rows[3][:5] == ["6", "DyCON", "1", "0.7000", ""]
    assert rows[3][5].startswith("+0.1500 [")
    # 0.15 of the 0.3 between 0.55 and 0.85; nnU-Net has 0.7 with 12 labels.
    assert rows[3][6:] == ["50 %", "12 (2x)"]
    assert [row[0] for row in rows[4:]] == ["12", "140"]
    without_all = {key: dice for key, dice in scores.items() if key[0] == 6}
    row = heart.table_of_test_cases(without_all).splitlines()[3]
    assert [cell.strip() for cell in row.split("|")[7:9]] == ["", ""]


def test_table_of_methods_by_hand() -> None:
    scores = {
        (6, "DyCON"): np.array([[0.7, 0.7]]),
        (6, "CoTraining"): np.array([[0.5, 0.7]]),
        (6, "nnUNet"): np.array([[0.4, 0.4]]),
    }
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in heart.table_of_methods(scores).splitlines()]
    assert [row[1] for row in rows[2:]] == ["nnU-Net", "CoTraining", "DyCON"]
    assert [row[3] for row in rows[2:]] == ["0.4000", "0.6000", "0.7000"]
    assert rows[2][4] == rows[4][5] == ""
    # Of patients 0.1 and 0.3 above nnU-Net, 0.2 and 0 below DyCON: a standard error of 0.1, one degree of freedom.
    assert rows[3][4:] == ["+0.2000 [-1.0706, +1.4706]", "-0.1000 [-1.3706, +1.1706]"]
    assert heart.describe_other_methods(scores) == "CoTraining minus DyCON is -0.1000 [-1.3706, +1.1706]"


def test_the_table_of_lengths_has_what_each_length_was_trained_for() -> None:
    shorter = {(6, "DyCON"): np.array([[0.7, 0.9], [0.6, 0.6]]), (6, "nnUNet"): np.array([[0.5, 0.5]])}
    longer = {(6, "DyCON"): np.array([[0.9, 0.9]]), (140, "nnUNet"): np.array([[1.0, 0.9]])}
    longer[6, "DyCONSelfTraining"] = np.array([[0.92, 0.92]])
    shorter[6, "AllComponents"] = np.array([[0.8, 0.8]])
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in heart.table_of_lengths({16_000: shorter, 32_000: longer}).splitlines()
    ]
    assert rows[0] == ["labels", "method", "16,000 steps", "32,000 steps"]
    assert rows[2:] == [
        ["6", "nnU-Net", "0.5000 (1)", ""],
        ["6", "DyCON", "0.7000 (2)", "0.9000 (1)"],
        ["6", "DyCON, then self-training", "", "0.9200 (1)"],
        ["140", "nnU-Net", "", "0.9500 (1)"],
    ]
