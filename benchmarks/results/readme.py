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
# The number of labels and the series of each row of the heart.
ROWS_OF_HEART = ((6, heart.MATRIX), (6, heart.LONGER), (14, heart.LONGER))
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
        difference = describe_difference(dycon, nnunet)
        rows.append([NAMES[dataset], str(labels), f"{steps:,}", *means, difference, _mean_if_any(everything)])
    steps_of_series = {series: steps for steps, series in heart.LENGTHS.items()}
    for labels, series in ROWS_OF_HEART:
        of_series = scores[series]
        means = [describe_mean(of_series[labels, arm].mean(1)) for arm in (REFERENCE_ARM, METHOD_ARM)]
        difference = heart.difference(of_series, labels, METHOD_ARM).describe()
        everything = of_series[heart.ALL_CASES, REFERENCE_ARM].mean(1).tolist()
        steps_of_row = f"{steps_of_series[series]:,}"
        rows.append([HEART, str(labels), steps_of_row, *means, difference, _mean_if_any(everything)])
    return markdown_table(HEADER, rows)


def _mean_if_any(dice: Sequence[float]) -> str:
    return describe_mean(dice) if dice else ""


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
    scores = {series: heart.read_matrix(series) for _, series in ROWS_OF_HEART}
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
