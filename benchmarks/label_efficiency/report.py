"""The report: tables in Markdown, the same as JSON, CSV files and a picture."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.intervals import mean_where_defined
from benchmarks.common.report import markdown_table, write_json
from benchmarks.label_efficiency.arms import METHOD_ARM, REFERENCE_ARM
from benchmarks.label_efficiency.picture import draw_picture
from benchmarks.label_efficiency.runs import Record, Workspace, read_records
from benchmarks.label_efficiency.scores import (
    DISTANCE_METRICS,
    METRICS,
    OVERLAP_METRICS,
    case_scores,
    count_undefined,
    dice_gained_in_last_quarter,
    pseudo_dice_gained_in_last_quarter,
)
from benchmarks.label_efficiency.summary import ArmSummary, Spread, summarise
from nnunetv2_dycon.exceptions import UserError

_TITLES = {"dice": "Dice", "jaccard": "Jaccard", "hd95": "HD95 (mm)", "asd": "ASD (mm)"}
_LEGEND = f"""\
Mean over test cases and classes, ± standard deviation over seeds. Postprocessed: of structures that have one connected
component in all labeled cases, predictions keep the largest alone. Difference: mean Dice minus that of {REFERENCE_ARM}
with as many labels, with its 95 % interval over trainings and cases; with one training of an arm, it does not speak of
others of it. {METHOD_ARM} minus it: the same, of {METHOD_ARM} to the arm of the row. Gap closed: share of the way from
{REFERENCE_ARM} with as many labels to {REFERENCE_ARM} with all. Labels needed: how many {REFERENCE_ARM} needs for the
same Dice, read from its curve over the logarithm of the labels, and as a multiple. Not defined: a distance where
prediction or reference is empty (Dice and Jaccard are 0 there), left out of the means. Last quarter: Dice that the test
cases gained in the last quarter of the training, without mirroring in prediction, and in brackets the pseudo-Dice,
which nnU-Net takes from training cases in fold all. Scans of one patient count as independent cases. Differences are
over the cases that all trainings of both arms have a Dice of."""
_RUN_COLUMNS = ["dataset", "budget", "arm", "seed"]
POSTPROCESSED = "dice_postprocessed"


def write_report(folder: Path, output: Path) -> None:
    """Write ``report.md``, ``report.json``, ``report.png``, ``runs.csv`` and ``cases.csv``, and print the tables.

    Args:
        folder: the workspace of the runs.
        output: where to; made if it is not there.

    Raises:
        UserError: if the workspace has no runs.
    """
    records = read_records(Workspace(folder.resolve()))
    if not records:
        raise UserError(f"{folder} has no runs: name the folder that the runs were given as --workspace")
    output.mkdir(parents=True, exist_ok=True)
    summaries = summarise(records)
    text = _write_tables(summaries, records)
    (output / "report.md").write_text(text, encoding="utf-8")
    unfinished = [{"run": each.run.title, "state": each.state} for each in records if not each.is_done]
    write_json(output / "report.json", {"arms": [asdict(each) for each in summaries], "not_done": unfinished})
    _write_runs_csv(output / "runs.csv", records)
    _write_cases_csv(output / "cases.csv", records)
    if summaries:
        draw_picture(output / "report.png", summaries)
    print(text)


def _write_tables(summaries: Sequence[ArmSummary], records: Sequence[Record]) -> str:
    """A table for each dataset and budget, one of the classes, and the runs that are not done."""
    parts = ["# Label efficiency", _LEGEND]
    for dataset, labels in dict.fromkeys((each.dataset, each.labels) for each in summaries):
        arms = [each for each in summaries if (each.dataset, each.labels) == (dataset, labels)]
        parts += [f"## {dataset}, {labels} labels", _main_table(arms)]
        if len(arms[0].metrics_of_classes) > 1:
            parts += ["By class:", _table_of_classes(arms)]
    differing = _differing_settings(records)
    if differing:
        parts += ["## Runs of one arm with different settings", differing]
    return "\n\n".join([*parts, "## Runs that are not done", _unfinished(records)]) + "\n"


def _main_table(arms: Sequence[ArmSummary]) -> str:
    header = ["arm", "seeds", *(_TITLES[metric] for metric in METRICS), "Dice, postprocessed"]
    header += ["difference", "gap closed", "labels needed"]
    header += [f"{METHOD_ARM} minus it", "distances not defined", "last quarter", "training (min)"]
    rows = []
    for each in arms:
        undefined = max(each.undefined[metric] for metric in DISTANCE_METRICS)
        rows.append(
            [
                each.arm,
                str(len(each.seeds)),
                *(_spread(metric, each.metrics[metric]) for metric in METRICS),
                _spread("dice", each.dice_postprocessed),
                "" if each.difference is None else each.difference.describe(),
                "" if each.gap_closed is None else f"{100 * each.gap_closed:.0f} %",
                "" if each.savings is None else each.savings.describe(),
                "" if each.lead_of_method is None else each.lead_of_method.describe(),
                f"{undefined} of {each.values}",
                _last_quarter(each),
                f"{each.training_seconds / 60:.1f}",
            ]
        )
    return markdown_table(header, rows)


def _table_of_classes(arms: Sequence[ArmSummary]) -> str:
    rows = [
        [each.arm, name, *(_spread(metric, spreads[metric]) for metric in METRICS)]
        for each in arms
        for name, spreads in each.metrics_of_classes.items()
    ]
    return markdown_table(["arm", "class", *(_TITLES[metric] for metric in METRICS)], rows)


def _spread(metric: str, spread: Spread) -> str:
    if spread.mean is None:
        return "not defined"
    digits = 4 if metric in OVERLAP_METRICS else 2
    deviation = "" if spread.deviation is None else f" ± {spread.deviation:.{digits}f}"
    return f"{spread.mean:.{digits}f}{deviation}"


def _last_quarter(each: ArmSummary) -> str:
    dice = "" if each.dice_gained is None else f"{each.dice_gained:+.4f}"
    return dice if each.pseudo_dice_gained is None else f"{dice} ({each.pseudo_dice_gained:+.4f})"


def _unfinished(records: Sequence[Record]) -> str:
    lines = [
        f"- {record.run.title}: {record.state}" + (f", see {record.run.log_file}" if record.state == "failed" else "")
        for record in records
        if not record.is_done
    ]
    return "\n".join(lines) or "None."


def _differing_settings(records: Sequence[Record]) -> str:
    """Runs from before and after a change of defaults must not be averaged unnoticed."""
    settings: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in records:
        if record.is_done:
            settings.setdefault((record.run.dataset, record.run.arm.name), []).append(record.content["settings"])
    lines = []
    for (dataset, name), runs in settings.items():
        # In the order in which they first appear.
        known = dict.fromkeys(key for run in runs for key in run)
        different = [key for key in known if any(key not in run or run[key] != runs[0].get(key) for run in runs)]
        if different:
            lines.append(f"- {dataset}, {name}: the runs differ in {', '.join(different)}")
    return "\n".join(lines)


def _write_runs_csv(file: Path, records: Sequence[Record]) -> None:
    """One line for each run; the figures of those that are not done are empty."""
    undefined = [f"{metric}_not_defined" for metric in METRICS]
    further = ["epochs", "steps", "dice_gained_in_last_quarter", "pseudo_dice_gained_in_last_quarter"]
    further += ["training_seconds", "prediction_seconds"]
    header = [*_RUN_COLUMNS, "state", "labels", *METRICS, *undefined, *further, POSTPROCESSED]
    _write_csv(file, header, (_run_row(record) for record in records))


def _write_cases_csv(file: Path, records: Sequence[Record]) -> None:
    """One line for each run, test case and class; what is not defined is empty."""
    rows = (
        [*_identity(record), case, name, *(values[metric] for metric in METRICS), postprocessed["dice"]]
        for record in records
        if record.is_done
        for case, by_class in record.metrics.items()
        for name, values in by_class.items()
        for postprocessed in (record.metrics_postprocessed[case][name],)
    )
    _write_csv(file, [*_RUN_COLUMNS, "case", "class", *METRICS, POSTPROCESSED], rows)


def _run_row(record: Record) -> list[Any]:
    start = [*_identity(record), record.state]
    if not record.is_done:
        return start
    postprocessed = case_scores([record], "dice", postprocessed=True)
    by_case = [*(case_scores([record], metric) for metric in METRICS), postprocessed]
    *means, postprocessed_mean = (None if np.isnan(mean) else mean for mean in map(_mean_over_cases, by_case))
    content = record.content
    return [
        *start,
        record.number_of_labels,
        *means,
        *(count_undefined(record, metric) for metric in METRICS),
        content["preset"]["epochs"],
        content["preset"]["steps"],
        dice_gained_in_last_quarter(record),
        pseudo_dice_gained_in_last_quarter(content["curves"]["mean_fg_dice"]),
        content["training_seconds"],
        content["prediction_seconds"],
        postprocessed_mean,
    ]


def _mean_over_cases(scores: np.ndarray) -> float:
    return float(mean_where_defined(scores, axis=1)[0])


def _identity(record: Record) -> list[Any]:
    return [record.run.dataset, record.run.budget, record.run.arm.name, record.run.seed]


def _write_csv(file: Path, header: list[str], rows: Iterable[list[Any]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened)
        writer.writerow(header)
        # Short rows are filled, so that every line has every column.
        writer.writerows(row + [None] * (len(header) - len(row)) for row in rows)
