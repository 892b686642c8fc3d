"""What the README says of results and of costs, made of the records beside this file.

``python -m benchmarks.results.readme`` writes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.common.report import markdown_table
from benchmarks.label_efficiency.arms import METHOD_ARM, REFERENCE_ARM
from benchmarks.results import costs, heart
from benchmarks.results.records import Run, read_runs
from benchmarks.results.todays_default import TASKS, describe_difference, describe_mean, dice_of
from nnunetv2_dycon.exceptions import UserError

NAMES = {"hippocampus": "hippocampus, MRI", "lung_nodules": "lung nodules, CT"}
# Training cases of each of these; nnU-Net was not trained with all labels of the second.
ALL_LABELS = 150
HEART = "heart (ACDC), MRI"
# The number of labels and of steps of each row of the heart.
ROWS_OF_HEART = ((6, 16_000), (6, 32_000), (14, 32_000))
HEADER = ["data", "labels", "steps", "nnU-Net", "DyCON", "DyCON − nnU-Net, 95 % interval", "nnU-Net, all labels"]


def render_results(runs: Sequence[Run], scores: Mapping[str, heart.Scores]) -> str:
    """The table of results: today's DyCON beside plain nnU-Net.

    Args:
        runs: on the data sets of :data:`NAMES`.
        scores: on the heart, by series.
    """
    (steps,) = {run.steps for run in runs}
    rows = []
    for dataset, labels in TASKS:
        dycon, nnunet = (dice_of(runs, dataset, labels, arm) for arm in (METHOD_ARM, REFERENCE_ARM))
        means = [describe_mean(dice) for dice in (nnunet, dycon)]
        everything = dice_of(runs, dataset, ALL_LABELS, REFERENCE_ARM)
        with_all = describe_mean(everything) if everything else ""
        rows.append([NAMES[dataset], str(labels), f"{steps:,}", *means, describe_difference(dycon, nnunet), with_all])
    for labels, steps in ROWS_OF_HEART:
        of_length = scores[heart.LENGTHS[steps]]
        keys = ((labels, REFERENCE_ARM), (labels, METHOD_ARM), (heart.ALL_CASES, REFERENCE_ARM))
        nnunet_mean, dycon_mean, with_all = (describe_mean(of_length[key].mean(1)) for key in keys)
        difference = heart.difference(of_length, labels, METHOD_ARM).describe()
        rows.append([HEART, str(labels), f"{steps:,}", nnunet_mean, dycon_mean, difference, with_all])
    return markdown_table(HEADER, rows)


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
    scores = {series: heart.read_matrix(series) for series in heart.LENGTHS.values()}
    main = [run for run in read_runs() if run.dataset in NAMES]
    tables = {
        "results": render_results(main, scores),
        "costs": costs.short_table(costs.read_costs()),
    }
    for name, table in tables.items():
        text = replace_table(text, name, table)
    return text


if __name__ == "__main__":
    from benchmarks.results.page import REPOSITORY

    README = REPOSITORY / "README.md"
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
