"""The texts of the page documentation/results.md, a section each, with places for tables and numbers."""

from __future__ import annotations

INTRODUCTION = """\
# Results

What unlabeled scans were worth on three data sets. In short: with the same few labels, DyCON has a higher Dice than
plain nnU-Net. The gain is small on hippocampi, larger on lung nodules, and large on [cardiac MRI](#heart-acdc) with 6
labels.

<!-- This page is made by: python -m benchmarks.results.page -->

No table below is typed by hand. [runs.csv](../benchmarks/results/runs.csv) has every training on hippocampi, lung
nodules and the heart. Other tables come from the files beside it, such as
[acdc_tuning.csv](../benchmarks/results/acdc_tuning.csv).

## How to read it

- **Data.** Hippocampus MRI of the Medical Segmentation Decathlon and lung nodules in CT of LIDC-IDRI: 150 training
  cases, 50 test cases. A few training cases keep their labels, the others are unlabeled. Cardiac MRI has a section of
  its own.
- **Training.** A small network and {steps} steps on a CPU, fold `all`. A network as nnU-Net plans it, trained to its
  end, is better with any number of labels. How much of the difference remains there is not measured.
- **Score.** Mean Dice over test cases and classes, of the final checkpoint, which no test case has chosen. Four
  [earlier forms of DyCON](../benchmarks/results/defaults.md#earlier-forms-on-test-cases) were seen on test cases.
- **Fair pairs.** Two methods are compared in pairs of trainings that share labels, plans, steps and seed. Both means
  of a row are over its pairs.
- **Interval.** The 95 % t interval of the mean difference over pairs, the test cases as they are. It takes three pairs.
  Where it contains 0, chance may be the reason. Six pairs are three seeds on two machines.
- **Which DyCON.** "DyCON with FeCL" is the default of an earlier version: FeCL with a weight of 0.1, and a box of a
  labeled patch in every unlabeled one. FeCL is off now, since it changed nothing beyond chance
  ([parts](#parts-of-dycon)), and half of the patches get a labeled box, all of them one of another unlabeled patch
  ([why](#targets-and-views-on-acdc)). DyCONCoTraining too was trained with the earlier boxes. Today's DyCON was
  trained on these data too: {today}. Its mean minus that of the earlier default, with the 95 % interval over
  trainings: {to_earlier}. With hard targets, a setting: {hard}.

Your data differ. [Compare on your own folds](compare.md) before you rely on a gain.
"""
DYCON = """\
## DyCON and plain nnU-Net

{table}

DyCON was above nnU-Net in {won} of {pairs} pairs of trainings. The intervals over seeds, whose pairs are averaged first
since their networks begin alike: {over_seeds}.
"""
HEART = """\
## Heart, ACDC

Cardiac MRI, three structures: slices at half resolution, a small network, float32 on a CPU, fold `all`. Every patient
has two scans: 6 labels are those of 3 patients, and the test cases those of 20. Read differences here, not levels:
[others report](paper.md#rows) 0.83 for nnU-Net with 5 % of the labels.

- **Fair rows.** Rows with as many labels have the same labeled cases, augmentation and steps. A round of self-training
  is one more training of as many steps, of plain nnU-Net, after that of DyCON.
- **Interval.** Over trainings and patients. Where an arm has a single training, it does not cover how much another one
  would differ.
- **Gap closed.** The share of the way from nnU-Net with as many labels to nnU-Net with all 140.
- **Labels that nnU-Net needs.** Read off the line between plain nnU-Net's own trainings, over the logarithm of the
  number of labels. The true curve is bent, so the line makes this number too large where trainings lie far apart.
- **Self-training** keeps the largest component of what it predicts. Pictures of test cases suggested that; unlabeled
  training cases decided it ([how](../benchmarks/results/defaults.md#soft-or-hard-targets)).

After 16,000 steps:

{table}

After 32,000 steps:

{longer}

All methods after 8,000 steps:

{methods}

**Equal time.** nnU-Net with four times the steps takes longer than DyCON, whose step costs
[less than three times as much](#what-a-step-costs). With 6 labels, {more_time}.

After 8,000 steps in bfloat16, on another machine, one training each: {in_bfloat16}.
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

Each row changes one thing. The difference is that to DyCON with FeCL, in pairs. Hippocampus, 4 labels, unless a row
says otherwise.

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
Compare rows of one precision: they are of the same machine. Those in bfloat16 are of earlier defaults of DyCON.

{table}
"""
ACDC = """\
## Targets and views, on ACDC

Cardiac MRI, slices at half resolution, a small network, one training for each row. They are judged on {cases} training
cases that were held out for choosing, not on test cases, and predicted without mirroring. Length carries most of the
gain: there plain nnU-Net had as much after 3,000 steps as after 8,000. Boxes of other unlabeled patches
(`cutmix_fraction`) add to it. "DyCON, hard targets" (`uncl_distance=pseudo_labels`) has them too. "Labeled boxes only"
is `cutmix_fraction=0 copy_paste_share=1`, the default until these trainings. "Soft targets" has the boxes that are the
default now. "Hard targets above 0.95" and "weighted by certainty" are the trials from which `uncl_distance` was made.

{table}
"""
LESIONS = """\
## Small lesions

Generated scans with lesions below 0.1 % of the volume ([how](method.md#tiny-lesions)); two trainings each.

{table}
"""
CHOICE = """\
## Which scan to annotate next

Plain nnU-Net is trained on 4 random cases. Then 4 more are chosen [by `rank`](choose_cases.md) with that model, or at
random, and nnU-Net is trained anew on all 8, in float32: on ACDC for 2,000 steps, on hippocampi for 1,000 with half the
channels (`--epochs 10 --steps 100 --features 8 16 32 64`) and the first 20 test cases. Each draw has other first cases.
Dice of the test cases, and 95 % interval of the difference over draws.

{table}
"""
COSTS = """\
## What a step costs

Time and peak memory of a training step with all losses at full weight and default settings, batches of two patches, for
networks as nnU-Net plans them, without loading. The two trainers take turns, step by step; the ratio is the median over
pairs of steps. DyCON passes a second batch forward and back, and its teacher one forward: where the way back takes
twice as long as the way forward, that is 2.33 times. With small patches a GPU waits for Python in both trainers. In a
clone, `python -m benchmarks.training_step --output FOLDER` measures your machine.

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
