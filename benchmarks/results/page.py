"""The page documentation/results.md, made of the records beside this file.

``python -m benchmarks.results.page`` writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.common.report import markdown_table
from benchmarks.label_efficiency.arms import ARMS, FECL_ARM, METHOD_ARM, REFERENCE_ARM
from benchmarks.results.records import Comparison, Run, compare, read_runs, read_table

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "documentation" / "results.md"
DATA_SETS = {"hippocampus": "hippocampus", "lung_nodules": "lung nodules"}
PARTLY_ANNOTATED = "hippocampus_every5"
HARD_ARM = "HardTargets"
# What one training or more changed in DyCON with FeCL, by the arm's name in the records.
PARTS_OF_DYCON = {
    "SoftUnCLOnly": "without FeCL",
    "SoftFeCLOnly": "without UnCL",
    "SoftNoCopyPaste": "without labeled boxes in unlabeled patches",
    "SoftVoxelMean": "UnCL averaged over voxels",
    "SoftBeta0.5": "beta fixed at 0.5",
    "SoftBeta1": "beta fixed at 1",
    "SoftBeta5": "beta fixed at 5",
    "SoftBetaPaper": "the paper's beta, 5 to 0.5",
    "SoftNoFocalPositives": "FeCL without focal positives",
    "SoftNoFocalNegatives": "FeCL without focal negatives",
    "SoftNoEntropyWeighting": "FeCL without entropy weights",
    "SoftNoHardNegatives": "FeCL without the teacher's hard negatives",
    "SoftFeCLOfficial": "the released code's FeCL",
    "SoftReleasedWeights": "the released weights and schedules",
    "SoftOracle": "FeCL sees the hidden labels: not a fair method",
}
INTRODUCTION = """\
# Results

What unlabeled scans were worth on two data sets. In short: with the same few labels, DyCON segments better than plain
nnU-Net. The gain is small on hippocampi and larger on lung nodules.

<!-- This page is made by: python -m benchmarks.results.page -->

No number below is typed by hand: [runs.csv](../benchmarks/results/runs.csv) has every training.

## How to read it

- **Data.** Hippocampus MRI of the Medical Segmentation Decathlon and lung nodules in CT of LIDC-IDRI: 150 training
  cases, 50 test cases. A few training cases keep their labels, the others are unlabeled.
- **Training.** A small network and {steps} steps on a CPU. A network as nnU-Net plans it, trained to its end, is better
  with any number of labels. How much of the difference remains there is not measured.
- **Score.** Mean Dice over test cases and classes, of the final checkpoint. Nothing is chosen on test cases.
- **Fair pairs.** Two methods are compared in pairs of trainings that share labels, plans, steps and seed. Both means
  of a row are over its pairs.
- **Interval.** The 95 % t interval of the mean difference over pairs, the test cases as they are. It takes three pairs.
  Where it contains 0, chance may be the reason.
- **Which DyCON.** These trainings have FeCL with a weight of 0.1, which was the default then. It is off now: it changed
  nothing beyond chance ([parts](#parts-of-dycon)). With hard targets and more boxes, which are settings, there is one
  training each: {hard}. On lung nodules that is lower.

Your data differ. [Compare on your own folds](compare.md) before you rely on a gain.
"""
DYCON = """\
## DyCON and plain nnU-Net

{table}

DyCON was above nnU-Net in {won} of {pairs} pairs of trainings.
"""
METHODS = """\
## All methods and plain nnU-Net

{table}

Rows without an interval have one or two trainings: do not rank them. `nnUNetTrainerMeanTeacher` with 4 labels fails in
some trainings, in which it confirms the mistakes of its start; [every training](#every-training) shows which.
"""
AGAINST_DYCON = """\
## DyCON and the other methods

{table}
"""
MORE_LABELS = """\
## Plain nnU-Net with more labels

What annotating more would have brought, on hippocampi.

{table}
"""
PARTS = """\
## Parts of DyCON

Each row changes one thing. The difference is that to DyCON, in pairs. Hippocampus, 4 labels, unless a row says
otherwise.

{table}

Two trainings of DyCON with 4 labels and different seeds differ by up to {spread:.4f}. Most rows differ by less.
"""
METRICS = """\
## Other metrics

Series 2: Jaccard index, 95th percentile of the Hausdorff distance and average surface distance, means over trainings
with standard deviation. The interval is that of the difference to nnU-Net's Dice, of a bootstrap over test cases and
trainings. [All methods](../benchmarks/results/arm_means.csv).

{table}
"""
PARTLY = """\
## Partly annotated scans

Hippocampi of which every fifth slice is annotated and the rest has nnU-Net's ignore label; there are no other scans.

{table}
"""
ACDC = """\
## Targets and views, on ACDC

Cardiac MRI, slices at half resolution, a small network, one training for each row. They are judged on {cases} training
cases that were held out for choosing, not on test cases, and predicted without mirroring. Length carries most of the
gain: plain nnU-Net has learnt after 3,000 steps what 6 cases can teach it. Hard targets (the setting `uncl_distance`)
with boxes of other unlabeled patches add to it.

{table}

On the {test_cases} test cases, predicted with mirroring, after {steps:,} steps with {labels} labels, one training each:
nnU-Net {plain:.4f}, DyCON with hard targets {hard:.4f}.
"""
LESIONS = """\
## Small lesions

Generated scans with lesions below 0.1 % of the volume ([how](method.md#tiny-lesions)); two trainings each.

{table}
"""
EVERY = """\
## Every training

Series 1 and 2 are the same trainings on two machines. nnU-Net's augmentation is not seeded, so they differ. Of most
trainings the mean Dice alone is kept, with four digits: the records of single cases were lost with the machines.

{table}

The story behind these numbers, and what was tried and left:
[how label efficiency was measured](../benchmarks/results/label_efficiency.md) and
[how the defaults were chosen](../benchmarks/results/defaults.md). To repeat them or to measure your own data, see
[the benchmark](benchmark.md).
"""


def render() -> str:
    """The whole page."""
    runs = read_runs()
    main = [run for run in runs if run.dataset in DATA_SETS]
    others = [
        arm.name
        for arm in ARMS.values()
        if arm.group in ("baseline", "method") and arm.name not in (REFERENCE_ARM, METHOD_ARM)
    ]
    dycon = _comparisons(main, [METHOD_ARM, FECL_ARM], REFERENCE_ARM)
    of_dycon = [run.dice for run in main if run.arm == FECL_ARM and run.labels == 4]
    (steps,) = {run.steps for run in main}
    parts = [
        INTRODUCTION.format(steps=f"{steps:,}", hard=_trainings_with_hard_targets(main)),
        DYCON.format(
            table=_table_of_pairs(dycon, first=REFERENCE_ARM),
            won=sum(each.won for each in dycon),
            pairs=sum(each.pairs for each in dycon),
        ),
        METHODS.format(
            table=_table_of_pairs(
                _comparisons(main, others, REFERENCE_ARM),
                first=REFERENCE_ARM,
            )
        ),
        AGAINST_DYCON.format(table=_table_of_pairs(_comparisons(main, others, FECL_ARM), first=FECL_ARM)),
        MORE_LABELS.format(table=_table_of_labels([run for run in main if run.dataset == "hippocampus"])),
        PARTS.format(table=_table_of_parts(main), spread=max(of_dycon) - min(of_dycon)),
        METRICS.format(table=_table_of_metrics()),
        PARTLY.format(table=_table_of_partly([run for run in runs if run.dataset == PARTLY_ANNOTATED])),
        _acdc(),
        LESIONS.format(table=_table_of_lesions()),
        EVERY.format(table=_table_of_runs(main)),
    ]
    return "\n".join(parts)


def _trainings_with_hard_targets(runs: Sequence[Run]) -> str:
    return ", ".join(
        f"{DATA_SETS[run.dataset]} with {run.labels} labels {run.dice:.4f}" for run in runs if run.arm == HARD_ARM
    )


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
        _title(first),
        "the method",
        "difference",
        "interval",
        "higher in",
    ]
    rows = [
        [
            DATA_SETS[each.dataset],
            str(each.labels),
            _title(each.arm),
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


def _title(arm: str) -> str:
    return {REFERENCE_ARM: "nnU-Net", FECL_ARM: "DyCON with FeCL", HARD_ARM: "DyCON, hard targets"}.get(arm, arm)


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
        rows.append([DATA_SETS[row["dataset"]], row["labels"], _title(row["arm"]), row["seeds"], *metrics, interval])
    header = ["data", "labels", "method", "trainings", "Jaccard", "HD95 (mm)", "ASD (mm)", "interval"]
    return markdown_table(header, rows)


def _table_of_partly(runs: Sequence[Run]) -> str:
    seeds = sorted({run.seed for run in runs})
    rows = []
    for arm in (REFERENCE_ARM, FECL_ARM):
        dice = [run.dice for seed in seeds for run in runs if run.seed == seed and run.arm == arm]
        rows.append([_title(arm), *(f"{each:.4f}" for each in dice), f"{np.mean(dice):.4f}"])
    return markdown_table(["method", *(f"seed {seed}" for seed in seeds), "mean Dice"], rows)


def _acdc() -> str:
    table = read_table("acdc_tuning.csv")
    structures = ("right ventricle", "myocardium", "left ventricle")
    rows = []
    for training in dict.fromkeys((int(row["labels"]), int(row["steps"]), row["arm"], row["seed"]) for row in table):
        labels, steps, arm, seed = training
        of_training = [
            row for row in table if (int(row["labels"]), int(row["steps"]), row["arm"], row["seed"]) == training
        ]
        means = [float(np.mean([float(row[name]) for row in of_training])) for name in structures]
        rows.append(
            [str(labels), f"{steps:,}", _title(arm), seed, *(f"{mean:.4f}" for mean in means), f"{np.mean(means):.4f}"]
        )
    text = markdown_table(["labels", "steps", "training", "seed", *structures, "mean Dice"], rows)
    tested = {run.arm: run for run in read_runs() if run.dataset == "acdc"}
    plain, hard = tested[REFERENCE_ARM], tested[HARD_ARM]
    return ACDC.format(
        table=text,
        cases=len({row["case"] for row in table}),
        test_cases=len({row["case"] for row in read_table("cases.csv") if row["dataset"] == "acdc"}),
        steps=hard.steps,
        labels=hard.labels,
        plain=plain.dice,
        hard=hard.dice,
    )


def _table_of_lesions() -> str:
    table = read_table("small_lesions.csv")
    rows = []
    for fraction in dict.fromkeys(row["fraction"] for row in table):
        of_fraction = [row for row in table if row["fraction"] == fraction]
        seen = float(np.mean([float(row["patches_with_lesion"]) for row in of_fraction]))
        dice = ", ".join(f"{float(row['dice']):.3f}" for row in of_fraction)
        rows.append([f"{float(fraction):g}", f"{100 * seen:.1f} %", dice])
    return markdown_table(["`unlabeled_foreground_fraction`", "unlabeled patches with a lesion", "Dice"], rows)


def _table_of_runs(runs: Sequence[Run]) -> str:
    series = [*dict.fromkeys(run.series for run in runs)]
    groups = dict.fromkeys((run.dataset, run.labels, run.arm) for run in runs)
    rows = []
    for dataset, labels, arm in groups:
        of_group = [run for run in runs if (run.dataset, run.labels, run.arm) == (dataset, labels, arm)]
        cells = [_dice_of_seeds(of_group, lambda run, name=name: run.series == name) for name in series]
        mean = f"{np.mean([run.dice for run in of_group]):.4f}"
        rows.append([DATA_SETS[dataset], str(labels), _title(arm), *cells, mean])
    header = [f"series {number}: seeds 0, 1, 2" for number in range(1, len(series) + 1)]
    return markdown_table(["data", "labels", "method", *header, "mean"], rows)


def _dice_of_seeds(runs: Sequence[Run], is_meant: Callable[[Run], bool]) -> str:
    return ", ".join(f"{run.dice:.4f}" for run in sorted(runs, key=lambda run: run.seed) if is_meant(run))


if __name__ == "__main__":
    PAGE.write_text(render())
