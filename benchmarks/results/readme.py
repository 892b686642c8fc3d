"""The table of results in the README, made of the records beside this file.

``python -m benchmarks.results.readme`` writes it.
"""

from __future__ import annotations

from benchmarks.common.report import markdown_table
from benchmarks.label_efficiency.arms import FECL_ARM, METHOD_ARM, REFERENCE_ARM
from benchmarks.results import heart
from benchmarks.results.records import compare, read_runs
from nnunetv2_dycon.exceptions import UserError

START, END = "<!-- results -->\n", "\n<!-- end of results -->"
TEACHER_ARM = "MeanTeacher"
TASKS = {
    ("hippocampus", 4): "hippocampus, MRI",
    ("hippocampus", 8): "hippocampus, MRI",
    ("lung_nodules", 8): "lung nodules, CT",
}
HEART_LABELS = 6
HEADER = ["data", "labels", "nnU-Net", "MeanTeacher", "DyCON", "DyCON − nnU-Net, 95 % interval"]


def render() -> str:
    """The table."""
    runs = read_runs()
    rows = []
    for (dataset, labels), name in TASKS.items():
        dycon = compare(runs, dataset, labels, FECL_ARM, REFERENCE_ARM)
        teacher = compare(runs, dataset, labels, TEACHER_ARM, REFERENCE_ARM)
        assert dycon is not None
        assert teacher is not None
        dice = [f"{mean:.4f}" for mean in (dycon.reference_mean, teacher.arm_mean, dycon.arm_mean)]
        rows.append([name, str(labels), *dice, f"{dycon.difference:+.4f} {dycon.describe_interval()}"])
    scores = heart.read_matrix()
    dice = [
        f"{scores[HEART_LABELS, arm].mean():.4f}" if (HEART_LABELS, arm) in scores else ""
        for arm in (REFERENCE_ARM, TEACHER_ARM, METHOD_ARM)
    ]
    difference = heart.difference(scores, HEART_LABELS, METHOD_ARM).describe()
    rows.append(["heart (ACDC), MRI", str(HEART_LABELS), *dice, difference])
    return markdown_table(HEADER, rows)


def replace_table(text: str, table: str) -> str:
    """A text with a table in place of what stands between :data:`START` and :data:`END`.

    Raises:
        UserError: if they are not there once each.
    """
    if text.count(START) != 1 or text.count(END) != 1:
        raise UserError(
            f"the README must have {START.strip()} and {END.strip()} once each, around the table of results"
        )
    return text[: text.index(START) + len(START)] + table + text[text.index(END) :]


if __name__ == "__main__":
    from benchmarks.results.page import REPOSITORY

    README = REPOSITORY / "README.md"
    README.write_text(replace_table(README.read_text(encoding="utf-8"), render()), encoding="utf-8")
