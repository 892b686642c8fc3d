"""What the README says of results and of costs, made of the records beside this file.

``python -m benchmarks.results.readme`` writes it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.common.report import markdown_table
from benchmarks.label_efficiency.arms import FECL_ARM, METHOD_ARM, REFERENCE_ARM, SELF_TRAINING_ARM
from benchmarks.results import costs, heart
from benchmarks.results.records import Run, compare, read_runs
from nnunetv2_dycon.exceptions import UserError, counted

TEACHER_ARM = "MeanTeacher"
TASKS = {
    ("hippocampus", 4): "hippocampus, MRI",
    ("hippocampus", 8): "hippocampus, MRI",
    ("lung_nodules", 8): "lung nodules, CT",
}
HEART_LABELS = 6
HEADER = ["data", "labels", "nnU-Net", "MeanTeacher", "DyCON", "DyCON − nnU-Net, 95 % interval"]


def render_results(runs: Sequence[Run], scores: heart.Scores) -> str:
    """The table of results, whose last row is of these scores."""
    rows = []
    for (dataset, labels), name in TASKS.items():
        dycon = compare(runs, dataset, labels, FECL_ARM, REFERENCE_ARM)
        teacher = compare(runs, dataset, labels, TEACHER_ARM, REFERENCE_ARM)
        assert dycon is not None
        assert teacher is not None
        dice = [f"{mean:.4f}" for mean in (dycon.reference_mean, teacher.arm_mean, dycon.arm_mean)]
        rows.append([name, str(labels), *dice, f"{dycon.difference:+.4f} {dycon.describe_interval()}"])
    dice = [
        f"{scores[HEART_LABELS, arm].mean():.4f}" if (HEART_LABELS, arm) in scores else ""
        for arm in (REFERENCE_ARM, TEACHER_ARM, METHOD_ARM)
    ]
    difference = heart.difference(scores, HEART_LABELS, METHOD_ARM).describe()
    rows.append(["heart (ACDC), MRI", str(HEART_LABELS), *dice, difference])
    return markdown_table(HEADER, rows)


def render_note_on_heart(scores: heart.Scores) -> str:
    """What the table's row on the heart rests on, and what more labels and self-training give there."""

    def described(labels: int, arm: str) -> str:
        of_trainings = scores[labels, arm].mean(1)
        return f"{of_trainings.mean():.4f} ({counted(len(of_trainings), 'training')})"

    nnunet, dycon = (counted(len(scores[HEART_LABELS, arm]), "training") for arm in (REFERENCE_ARM, METHOD_ARM))
    trainings = f"{dycon} each" if nnunet == dycon else f"{nnunet} of nnU-Net, {dycon} of DyCON"
    curve = [labels for labels, arm in sorted(scores) if arm == REFERENCE_ARM and labels > HEART_LABELS]
    return (
        f"- **Heart:** {trainings}, of 16,000 steps. nnU-Net retrained on DyCON's predictions "
        f"([self-training](documentation/self_training.md)) has {described(HEART_LABELS, SELF_TRAINING_ARM)}, nnU-Net "
        f"{', '.join(f'with {labels} labels {described(labels, REFERENCE_ARM)}' for labels in curve)}."
    )


def render_note_on_length(runs: Sequence[Run]) -> str:
    """How Dice on the heart grows with the length of a training, of lengths that both trainers have."""
    dycon, nnunet = (heart.dice_by_length(runs, arm, HEART_LABELS) for arm in (METHOD_ARM, REFERENCE_ARM))
    lengths = sorted(dycon.keys() & nnunet.keys())

    def described(dice: dict[int, list[float]]) -> str:
        return ", ".join(f"{np.mean(dice[steps]):.2f}" for steps in lengths)

    *shorter, longest = (f"{steps:,}" for steps in lengths)
    return (
        f"- **Give it time.** Mean Dice on ACDC with {HEART_LABELS} labels, after {', '.join(shorter)} and {longest} "
        f"steps: DyCON {described(dycon)}; nnU-Net {described(nnunet)} ([all trainings]"
        "(documentation/results.md#heart-acdc))."
    )


def replace_table(text: str, name: str, table: str) -> str:
    """A text with a table in place of what stands between ``<!-- NAME -->`` and ``<!-- end of NAME -->``.

    Raises:
        UserError: if these marks are not there once each.
    """
    start, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
    if text.count(start) != 1 or text.count(end) != 1:
        raise UserError(f"the README must have {start.strip()} and {end.strip()} once each, around the table of {name}")
    return text[: text.index(start) + len(start)] + table + text[text.index(end) :]


def with_tables(text: str) -> str:
    """The README's text with tables of today's records."""
    runs, scores = read_runs(), heart.read_matrix()
    results = f"{render_results(runs, scores)}\n\n{render_note_on_heart(scores)}"
    tables = {
        "results": results,
        "length": render_note_on_length(runs),
        "costs": costs.short_table(costs.read_costs()),
    }
    for name, table in tables.items():
        text = replace_table(text, name, table)
    return text


if __name__ == "__main__":
    from benchmarks.results.page import REPOSITORY

    README = REPOSITORY / "README.md"
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
