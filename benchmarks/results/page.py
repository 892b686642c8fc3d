"""The page documentation/results.md, made of the records beside this file.

``python -m benchmarks.results.page`` writes it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.common.intervals import in_brackets, t_interval
from benchmarks.common.report import markdown_table
from benchmarks.label_efficiency.arms import ARMS, FECL_ARM, METHOD_ARM, REFERENCE_ARM
from benchmarks.results import costs, heart, postprocessed, sections
from benchmarks.results.records import Comparison, Run, compare, read_runs, read_table
from benchmarks.results.titles import LABELED_BOXES_ARM, PARTS_OF_DYCON, title
from benchmarks.results.todays_default import table_of_todays_default
from nnunetv2_dycon.exceptions import UserError

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "documentation" / "results.md"
DATA_SETS = {"hippocampus": "hippocampus", "lung_nodules": "lung nodules"}
PARTLY_ANNOTATED = "hippocampus_every5"
MAIN_SERIES = ("first", "second", "third")
# Trainings are compared within a series: machine and precision differ.
PARTLY_ANNOTATED_SERIES = {"partly annotated, float32": "float32", "partly annotated": "bfloat16"}
CHOICE_TITLES = {
    "first training": "(the first 4 alone)",
    "both": "`both`: uncertainty and distance",
    "uncertainty": "`uncertainty`",
    "diversity": "`diversity`",
    "coverage": "`coverage`",
    "random": "chance",
}


def render() -> str:
    """The whole page.

    Raises:
        UserError: for a series of trainings that it has no place for.
    """
    runs = read_runs()
    _refuse_unknown_series(runs)
    main = [run for run in runs if run.series in MAIN_SERIES and run.dataset in DATA_SETS]
    others = [
        arm.name
        for arm in ARMS.values()
        if arm.group in ("baseline", "method") and arm.name not in (REFERENCE_ARM, METHOD_ARM)
    ]
    partly = [run for run in runs if run.dataset == PARTLY_ANNOTATED]
    dycon = _comparisons(main, [METHOD_ARM, FECL_ARM], REFERENCE_ARM)
    of_dycon = [run.dice for run in main if run.arm == FECL_ARM and run.labels == 4]
    (steps,) = {run.steps for run in main}
    parts = [
        sections.INTRODUCTION.format(
            steps=f"{steps:,}",
        ),
        sections.DYCON.format(
            today=table_of_todays_default(main, DATA_SETS),
            table=_table_of_pairs(dycon, first=REFERENCE_ARM),
            won=sum(each.won for each in dycon),
            pairs=sum(each.pairs for each in dycon),
            over_seeds=_intervals_over_seeds(dycon),
        ),
        sections.HEART.format(
            lengths=heart.table_of_lengths({n: heart.read_matrix(series) for n, series in heart.LENGTHS.items()}),
            table=heart.table_of_test_cases(heart.read_matrix()),
            longer=heart.table_of_test_cases(heart.read_matrix(heart.LONGER)),
            minutes=heart.minutes_of_methods(),
            methods=heart.table_of_methods(heart.read_matrix(heart.ALL_METHODS)),
            others=heart.describe_other_methods(heart.read_matrix()),
            more_time=heart.more_time_for_nnunet(),
            labeled_cases=heart.table_of_labeled_cases(),
        ),
        sections.POSTPROCESSED.format(
            table=postprocessed.table_of_postprocessing(),
            lower=postprocessed.describe_lower_means(),
            heart=heart.table_of_test_cases(heart.read_matrix(heart.LONGER, postprocessed=True)),
        ),
        sections.METHODS.format(
            table=_table_of_pairs(
                _comparisons(main, others, REFERENCE_ARM),
                first=REFERENCE_ARM,
            )
        ),
        sections.AGAINST_DYCON.format(table=_table_of_pairs(_comparisons(main, others, FECL_ARM), first=FECL_ARM)),
        sections.MORE_LABELS.format(table=_table_of_labels([run for run in main if run.dataset == "hippocampus"])),
        sections.PARTS.format(table=_table_of_parts(main), spread=max(of_dycon) - min(of_dycon)),
        sections.METRICS.format(table=_table_of_metrics()),
        sections.PARTLY.format(table=_table_of_partly(partly), difference=_difference_of_partly(partly)),
        sections.ACDC.format(table=heart.table_of_tuning_cases(), cases=heart.number_of_tuning_cases()),
        sections.LESIONS.format(table=_table_of_lesions()),
        sections.CHOICE.format(table=_table_of_choices()),
        sections.COSTS.format(table=costs.whole_table(costs.read_costs())),
        sections.EVERY.format(table=_table_of_runs(main)),
    ]
    return "\n".join(parts)


def _refuse_unknown_series(runs: Sequence[Run]) -> None:
    known = {(series, dataset) for series in MAIN_SERIES for dataset in DATA_SETS}
    known |= {(series, PARTLY_ANNOTATED) for series in PARTLY_ANNOTATED_SERIES}
    known |= {(series, heart.DATASET) for series in (heart.ALL_METHODS, heart.MATRIX, heart.LONGER, heart.BFLOAT16)}
    known |= {(heart.ALL_METHODS, dataset) for dataset in heart.LABELED_CASES}
    if unknown := sorted({(run.series, run.dataset) for run in runs} - known):
        series, dataset = unknown[0]
        raise UserError(
            f"no table has {dataset} in the series {series}: name it in benchmarks/results/page.py or heart.py"
        )


def _intervals_over_seeds(comparisons: Sequence[Comparison]) -> str:
    described = []
    for each in comparisons:
        interval = each.interval_over_seeds()
        found = f"{len(set(each.seeds))} seeds are too few" if interval is None else in_brackets(interval)
        described.append(f"{DATA_SETS[each.dataset]} with {each.labels} labels {found}")
    return "; ".join(described)


def _comparisons(runs: Sequence[Run], arms: Sequence[str], reference: str) -> list[Comparison]:
    """Of each data set and number of labels, each arm that has trainings in common with the reference."""
    tasks = dict.fromkeys((run.dataset, run.labels) for run in runs)
    found = [compare(runs, dataset, labels, arm, reference) for dataset, labels in tasks for arm in arms]
    return [each for each in found if each is not None]


def _table_of_pairs(comparisons: Sequence[Comparison], *, first: str) -> str:
    header = [
        "data",
        "labels",
        "method",
        "pairs",
        title(first),
        "the method",
        "difference",
        "interval",
        "higher in",
    ]
    rows = [
        [
            DATA_SETS[each.dataset],
            str(each.labels),
            title(each.arm),
            str(each.pairs),
            f"{each.reference_mean:.4f}",
            f"{each.arm_mean:.4f}",
            f"{each.difference:+.4f}",
            each.describe_interval(),
            f"{each.won} of {each.pairs}",
        ]
        for each in comparisons
    ]
    return markdown_table(header, rows)


def _table_of_labels(runs: Sequence[Run]) -> str:
    rows = []
    for labels in sorted({run.labels for run in runs}):
        dice = [run.dice for run in runs if run.labels == labels and run.arm == REFERENCE_ARM]
        rows.append([str(labels), str(len(dice)), f"{np.mean(dice):.4f}", f"{min(dice):.4f} to {max(dice):.4f}"])
    return markdown_table(["labels", "trainings", "mean Dice", "lowest to highest"], rows)


def _table_of_parts(runs: Sequence[Run]) -> str:
    rows = [
        [
            PARTS_OF_DYCON[each.arm] + ("" if each.dataset == "hippocampus" else f" ({DATA_SETS[each.dataset]})"),
            str(each.pairs),
            f"{each.arm_mean:.4f}",
            f"{each.difference:+.4f}",
            each.describe_interval(),
        ]
        for each in _comparisons(runs, list(PARTS_OF_DYCON), FECL_ARM)
    ]
    return markdown_table(["what differs", "trainings", "mean Dice", "difference", "interval"], rows)


def _table_of_metrics() -> str:
    rows = []
    for row in read_table("arm_means.csv"):
        if row["series"] != "second" or row["arm"] not in (REFERENCE_ARM, FECL_ARM, "MeanTeacher", "SelfTraining"):
            continue
        metrics = [" ± ".join(filter(None, (row[name], row[f"{name}_sd"]))) for name in ("jaccard", "hd95", "asd")]
        interval = f"[{float(row['low']):+.4f}, {float(row['high']):+.4f}]" if row["low"] else ""
        rows.append([DATA_SETS[row["dataset"]], row["labels"], title(row["arm"]), row["seeds"], *metrics, interval])
    header = ["data", "labels", "method", "trainings", "Jaccard", "HD95 (mm)", "ASD (mm)", "interval"]
    return markdown_table(header, rows)


def _table_of_partly(runs: Sequence[Run]) -> str:
    seeds = sorted({run.seed for run in runs})
    rows = []
    for series, precision in PARTLY_ANNOTATED_SERIES.items():
        for arm in (REFERENCE_ARM, METHOD_ARM, FECL_ARM, LABELED_BOXES_ARM):
            of_arm = {run.seed: run.dice for run in runs if run.series == series and run.arm == arm}
            if of_arm:
                dice = [f"{of_arm[seed]:.4f}" if seed in of_arm else "" for seed in seeds]
                rows.append([title(arm), precision, *dice, f"{np.mean(list(of_arm.values())):.4f}"])
    return markdown_table(["method", "computed in", *(f"seed {seed}" for seed in seeds), "mean Dice"], rows)


def _difference_of_partly(runs: Sequence[Run]) -> str:
    (labels,) = {run.labels for run in runs}
    found = compare(runs, PARTLY_ANNOTATED, labels, METHOD_ARM, REFERENCE_ARM)
    assert found is not None
    return f"{found.difference:.4f} {found.describe_interval()}"


def _table_of_lesions() -> str:
    table = read_table("small_lesions.csv")
    rows = []
    for fraction in dict.fromkeys(row["fraction"] for row in table):
        of_fraction = [row for row in table if row["fraction"] == fraction]
        seen = float(np.mean([float(row["patches_with_lesion"]) for row in of_fraction]))
        dice = ", ".join(f"{float(row['dice']):.3f}" for row in of_fraction)
        rows.append([f"{float(fraction):g}", f"{100 * seen:.1f} %", dice])
    return markdown_table(["`unlabeled_foreground_fraction`", "unlabeled patches with a lesion", "Dice"], rows)


def _table_of_choices() -> str:
    table = read_table("choice_of_cases.csv")
    draws = dict.fromkeys(row["draw"] for row in table)
    rows = []
    for dataset, choice in dict.fromkeys((row["dataset"], row["choice"]) for row in table):
        of_dataset = [row for row in table if row["dataset"] == dataset]
        dice = {row["draw"]: float(row["dice"]) for row in of_dataset if row["choice"] == choice}
        random = {row["draw"]: float(row["dice"]) for row in of_dataset if row["choice"] == "random"}
        differences = [value - random[draw] for draw, value in dice.items()]
        labels = {row["labels"] for row in of_dataset if row["choice"] == choice}
        difference = f"{np.mean(differences):+.4f} {in_brackets(t_interval(differences))}"
        rows.append(
            [
                {**DATA_SETS, "acdc": "ACDC"}[dataset],
                *labels,
                CHOICE_TITLES[choice],
                *(f"{dice[draw]:.4f}" if draw in dice else "" for draw in draws),
                f"{np.mean(list(dice.values())):.4f}",
                "" if choice == "random" else difference,
            ]
        )
    header = ["data", "labels", "chosen by", *(f"draw {draw}" for draw in draws), "mean Dice", "difference to random"]
    return markdown_table(header, rows)


def _table_of_runs(runs: Sequence[Run]) -> str:
    series = [*dict.fromkeys(run.series for run in runs)]
    rows = []
    for (dataset, labels, arm), of_arm in _by_task_and_arm(runs).items():
        cells = [_dice_by_seed([run for run in of_arm if run.series == name]) for name in series]
        rows.append([DATA_SETS[dataset], str(labels), title(arm), *cells, _mean_dice(of_arm)])
    header = [f"series {number}, by seed" for number in range(1, len(series) + 1)]
    return markdown_table(["data", "labels", "method", *header, "mean"], rows)


def _by_task_and_arm(runs: Iterable[Run]) -> dict[tuple[str, int, str], list[Run]]:
    """The trainings of each data set, number of labels and arm, in the order of the records."""
    found: dict[tuple[str, int, str], list[Run]] = defaultdict(list)
    for run in runs:
        found[run.dataset, run.labels, run.arm].append(run)
    return found


def _dice_by_seed(runs: Sequence[Run]) -> str:
    return ", ".join(f"{run.dice:.4f}" for run in sorted(runs, key=lambda run: run.seed))


def _mean_dice(runs: Sequence[Run]) -> str:
    return f"{np.mean([run.dice for run in runs]):.4f}"


if __name__ == "__main__":
    PAGE.write_text(render())
