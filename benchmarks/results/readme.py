"""What the README says of results and of costs, made of the records beside this file.

``python -m benchmarks.results.readme`` writes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.common.report import markdown_table
from benchmarks.label_efficiency.arms import METHOD_ARM, REFERENCE_ARM, SELF_TRAINING_ARM, TWO_ROUNDS_ARM
from benchmarks.results import costs, heart
from benchmarks.results.records import Run, read_runs
from benchmarks.results.titles import title
from benchmarks.results.todays_default import TASKS, describe_difference, describe_mean, dice_of
from nnunetv2_dycon.exceptions import UserError

NAMES = {"hippocampus": "hippocampus, MRI", "lung_nodules": "lung nodules, CT"}
HEADER = ["data", "labels", "nnU-Net", "DyCON", "DyCON − nnU-Net, 95 % interval"]
ARMS_ON_HEART = (REFERENCE_ARM, METHOD_ARM, SELF_TRAINING_ARM, TWO_ROUNDS_ARM)


def render_results(runs: Sequence[Run], scores: heart.Scores) -> str:
    """The table of results, whose last row is of these scores."""
    rows = []
    for dataset, labels in TASKS:
        dycon, nnunet = (dice_of(runs, dataset, labels, arm) for arm in (METHOD_ARM, REFERENCE_ARM))
        means = [describe_mean(dice) for dice in (nnunet, dycon)]
        rows.append([NAMES[dataset], str(labels), *means, describe_difference(dycon, nnunet)])
    nnunet, dycon = (scores[heart.FEWEST_LABELS, arm].mean(1).tolist() for arm in (REFERENCE_ARM, METHOD_ARM))
    means = [describe_mean(dice) for dice in (nnunet, dycon)]
    difference = heart.difference(scores, heart.FEWEST_LABELS, METHOD_ARM).describe()
    return markdown_table(HEADER, [*rows, ["heart (ACDC), MRI", str(heart.FEWEST_LABELS), *means, difference]])


def render_heart(by_length: Mapping[int, heart.Scores]) -> str:
    """The mean Dice on the heart by number of labels and length of a training, and in brackets how many there are."""
    trained = {key for scores in by_length.values() for key in scores if key[1] in ARMS_ON_HEART}
    rows = []
    for labels, arm in sorted(trained, key=lambda key: (key[0], ARMS_ON_HEART.index(key[1]))):
        cells = [scores.get((labels, arm)) for scores in by_length.values()]
        rows.append(
            [
                title(arm),
                str(labels),
                *("" if dice is None else describe_mean(dice.mean(1)) for dice in cells),
            ]
        )
    return markdown_table(["heart (ACDC)", "labels", *(f"{steps:,} steps" for steps in by_length)], rows)


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
    by_length = {steps: heart.read_matrix(series) for steps, series in heart.LENGTHS.items()}
    main = [run for run in read_runs() if run.dataset in NAMES]
    tables = {
        "results": render_results(main, heart.read_matrix()),
        "heart": render_heart(by_length),
        "costs": costs.short_table(costs.read_costs()),
    }
    for name, table in tables.items():
        text = replace_table(text, name, table)
    return text


if __name__ == "__main__":
    from benchmarks.results.page import REPOSITORY

    README = REPOSITORY / "README.md"
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
