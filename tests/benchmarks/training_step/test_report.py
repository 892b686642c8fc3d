from __future__ import annotations

from pathlib import Path

from benchmarks.training_step.report import draw, result, table

MEBIBYTE = 1024**2


def make_result() -> dict:
    return result(
        "hippocampus",
        {"nnUNetTrainer": [1.0, 2.0, 4.0], "nnUNetTrainerDyCON": [5.0, 5.2, 5.4]},
        {
            "nnUNetTrainer": {"built": 10 * MEBIBYTE, "peak": 110 * MEBIBYTE},
            "nnUNetTrainerDyCON": {"built": 20 * MEBIBYTE, "peak": 132 * MEBIBYTE},
        },
        [("labeled pass", "backward", 1.5), ("optimizer", "optimizer", 0.5)],
    )


def test_ratios_are_the_median_over_pairs_of_steps_and_of_all_memory() -> None:
    figures = make_result()
    # The ratios of the three pairs are 5, 2.6 and 1.35.
    assert figures["seconds_ratio"] == 2.6
    assert figures["peak_ratio"] == 1.2
    assert figures["peak_beyond_weights_ratio"] == 1.12


def test_the_table_says_which_bars_hold() -> None:
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table([make_result()]).splitlines()]
    assert lines[2:5] == [
        ["hippocampus", "time of a step (s)", "2", "5.2", "2.600", "<= 2.5: NO"],
        ["", "peak memory (MiB)", "110", "132", "1.200", "<= 1.25: yes"],
        ["", "of it beyond weights and teacher (MiB)", "100", "112", "1.120", "-"],
    ]
    assert lines[-2:] == [
        ["labeled pass", "backward", "1500.0", "0.750"],
        ["optimizer", "optimizer", "500.0", "0.250"],
    ]


def test_picture(tmp_path: Path) -> None:
    draw(tmp_path / "step.png", [make_result()], {"device": "CPU"})
    assert (tmp_path / "step.png").read_bytes().startswith(b"\x89PNG")
