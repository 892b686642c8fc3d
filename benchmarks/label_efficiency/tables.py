"""The report in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.common.report import markdown_table
from benchmarks.label_efficiency.arms import METHOD_ARM, REFERENCE_ARM
from benchmarks.label_efficiency.bootstrap import Difference
from benchmarks.label_efficiency.metrics import DISTANCE_METRICS, METRICS, OVERLAP_METRICS
from benchmarks.label_efficiency.records import Record
from benchmarks.label_efficiency.summary import ArmSummary, Spread
from nnunetv2_dycon.training.settings import Value

_TITLES = {"dice": "Dice", "jaccard": "Jaccard", "hd95": "HD95 (mm)", "asd": "ASD (mm)"}
_LEGEND = f"""\
Mean over test cases and classes, ± standard deviation over seeds. Difference: mean Dice minus that of {REFERENCE_ARM}
with as many labels and the same seeds, with the 95 % interval of a paired bootstrap over cases and seeds. {METHOD_ARM}
minus it: the same, of {METHOD_ARM} to the arm of the row. Gap closed: share of the way from {REFERENCE_ARM} with as
many labels to {REFERENCE_ARM} with all. Labels needed: how many {REFERENCE_ARM} needs for the same Dice, read from its
curve over the logarithm of the labels, and as a multiple. Not defined: a distance where prediction or reference is
empty (Dice and Jaccard are 0 there), left out of the means. Last quarter: Dice that the test cases gained in the last
quarter of the training, without mirroring in prediction, and in brackets the pseudo-Dice, which nnU-Net takes from
training cases in fold all."""


def write_tables(summaries: Sequence[ArmSummary], records: Sequence[Record]) -> str:
    """The whole report.

    Args:
        summaries: of the runs that are done.
        records: of all runs.

    Returns:
        Markdown: a table for each dataset and budget, one of the classes, and the runs that are not done.
    """
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
    header = ["arm", "seeds", *(_TITLES[metric] for metric in METRICS), "difference", "gap closed", "labels needed"]
    header += [f"{METHOD_ARM} minus it", "distances not defined", "last quarter", "training (min)"]
    rows = []
    for each in arms:
        undefined = max(each.undefined[metric] for metric in DISTANCE_METRICS)
        rows.append(
            [
                each.arm,
                str(len(each.seeds)),
                *(_spread(metric, each.metrics[metric]) for metric in METRICS),
                _difference(each),
                "" if each.gap_closed is None else f"{100 * each.gap_closed:.0f} %",
                "" if each.savings is None else each.savings.describe(),
                _lead_of_method(each),
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


def _difference(each: ArmSummary) -> str:
    if each.difference is None:
        return "" if each.arm == REFERENCE_ARM else "no seed in common"
    return _interval(each.difference, each.compared_seeds, len(each.seeds))


def _lead_of_method(each: ArmSummary) -> str:
    return "" if each.lead_of_method is None else _interval(each.lead_of_method, each.seeds_of_lead, len(each.seeds))


def _interval(difference: Difference, compared: int, seeds: int) -> str:
    """The number of seeds is told where it is not that of the row."""
    told = "" if compared == seeds else f", {compared} seeds"
    return f"{difference.mean:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]{told}"


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
    settings: dict[tuple[str, str], dict[str, list[Value]]] = {}
    counts: dict[tuple[str, str], int] = {}
    for record in records:
        if record.is_done:
            arm = (record.run.dataset, record.run.arm.name)
            counts[arm] = counts.get(arm, 0) + 1
            for name, value in record.content["settings"].items():
                settings.setdefault(arm, {}).setdefault(name, []).append(value)
    lines = []
    for (dataset, name), values in settings.items():
        different = [
            key for key, each in values.items() if len(each) < counts[dataset, name] or any(v != each[0] for v in each)
        ]
        if different:
            lines.append(f"- {dataset}, {name}: the runs differ in {', '.join(different)}")
    return "\n".join(lines)
