"""The texts of the page documentation/results.md, a section each, with places for tables and numbers."""

from __future__ import annotations

INTRODUCTION = """\
# Results

What unlabeled scans were worth on three data sets. In short: with the same few labels, DyCON has a higher Dice than
plain nnU-Net. The gain is small on hippocampi, larger on lung nodules, large on [cardiac MRI](#heart-acdc) with 6
labels, and small there with 14.

<!-- This page is made by: python -m benchmarks.results.page -->

No table below is typed by hand. [runs.csv](../benchmarks/results/runs.csv) has the trainings on test cases, other
tables come from the files beside it. What was tried on the way and left is in
[how the defaults were chosen](../benchmarks/results/defaults.md).

## How to read it

- **Data.** Hippocampus MRI of the Medical Segmentation Decathlon and lung nodules in CT of LIDC-IDRI: 150 training
  cases, 50 test cases. A few training cases keep their labels, the others are unlabeled. Cardiac MRI has a section of
  its own.
- **Training.** A small network and {steps} steps on a CPU, fold `all`. Networks as nnU-Net plans them, trained for
  250,000 steps, were not measured. Expect them to be better with any number of labels, and another gain.
- **Tuning.** DyCON's defaults were chosen on training cases of these three data sets, with labels that the trainings
  below do not see. So none of these data sets is new to it.
- **Score.** Mean Dice over test cases and classes, of the final checkpoint: no test case chose one. Four
  [earlier forms of DyCON](../benchmarks/results/defaults.md#earlier-forms-on-test-cases) were seen on test cases.
- **Fair pairs.** Two methods are compared in pairs of trainings that share labels, plans, steps and seed. Both means
  of a row are over its pairs.
- **Interval.** The 95 % t interval of the mean difference over pairs. Rows with fewer than three pairs have none. Where
  it contains 0, chance may be the reason. Six pairs are three seeds on two machines. All trainings of a row have the
  same labeled cases and the same test cases, so intervals do not cover the choice of either.
- **Which DyCON.** "DyCON" is today's default. "DyCON with FeCL" is an earlier one: it had a second loss, FeCL, and
  pasted a box of a labeled scan into every unlabeled patch. FeCL is off now, since it changed nothing beyond chance
  ([parts](#parts-of-dycon)). Now every unlabeled patch gets a box of another unlabeled one, and half of them one of a
  labeled scan ([why](#targets-and-views-on-acdc)). DyCONCoTraining has the earlier boxes below.

Your data differ. [Compare on your own folds](compare.md) before you rely on a gain.
"""
DYCON = """\
## DyCON and plain nnU-Net

Means over trainings, and in brackets how many there are. The interval is over trainings, which are not paired here:
nnU-Net was not trained again on the machines of today's DyCON.

{today}

The earlier default has pairs with nnU-Net, on the same machine and with the same seed:

{table}

It was above nnU-Net in {won} of {pairs} pairs. The intervals over seeds, whose pairs are averaged first since their
networks begin alike: {over_seeds}.
"""
HEART = """\
## Heart, ACDC

Cardiac MRI, three structures: slices at half resolution, a small network, float32 on a CPU, fold `all`. Every patient
has two scans: 6 labels are those of 3 patients, and the test cases those of 20. nnU-Net is weak here:
[others report](paper.md#rows) 0.83 with labels of 3 patients. A better baseline leaves less to gain.

Mean Dice by the length of the training, and in brackets the number of trainings:

{lengths}

- **Fair rows.** Rows with as many labels have the same labeled cases, augmentation and steps. A round of self-training
  is one more training of as many steps, of plain nnU-Net, after that of DyCON.
- **Interval.** Over trainings and test patients. Where an arm has a single training, it does not cover how much another
  one would differ. All trainings of a row have the same labeled cases; [others](#other-labeled-cases) are below.
- **Gap closed.** The share of the way from nnU-Net with as many labels to nnU-Net with all 140.
- **Labels that nnU-Net needs.** Read off the line between plain nnU-Net's own trainings, over the logarithm of the
  number of labels. The true curve is bent, so the line makes this number too large where trainings lie far apart.
- **Self-training** keeps the largest component of what it predicts. Pictures of test cases suggested that; unlabeled
  training cases decided it ([how](../benchmarks/results/defaults.md#soft-or-hard-targets)).

After 16,000 steps:

{table}

After 32,000 steps:

{longer}

After 8,000 steps, with other methods. Trainings here took {minutes}, beside others on shared
machines, some with pauses:

{methods}

After 16,000 steps, {others}.

### More time for nnU-Net

A training of DyCON takes longer than one of nnU-Net with as many steps. With 6 labels, {more_time}.

### Other labeled cases

6 labels of other patients, after 8,000 steps, one training each:

{labeled_cases}
"""
POSTPROCESSED = """\
## Postprocessed

Where all labeled cases have one connected component of a structure, predictions keep their largest one
([how](predict.md#largest-components)). All methods were postprocessed alike, by the labels that they had. Means over
the trainings whose predictions are still there:

{table}

{lower} Single classes of single scans can be lower: see `dice_postprocessed` beside `dice` in
[cases.csv](../benchmarks/results/cases.csv).

On the heart, after 32,000 steps, as [above](#heart-acdc), but with those trainings alone whose predictions are there:

{heart}
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

Each row but "the released weights and schedules" changes one thing. The difference is that to DyCON with FeCL, in
pairs. Hippocampus, 4 labels, unless a row says otherwise.

{table}

Two trainings of DyCON with 4 labels and different seeds differ by up to {spread:.4f}. Most rows differ by less.
"""
METRICS = """\
## Other metrics

Series 2: Jaccard index, 95th percentile of the Hausdorff distance and average surface distance, means over trainings
with standard deviation. The interval is that of the difference to nnU-Net's Dice, of a bootstrap over test cases and
trainings. [Most methods](../benchmarks/results/arm_means.csv).

{table}
"""
PARTLY = """\
## Partly annotated scans

Hippocampi of which every fifth slice is annotated and the rest has nnU-Net's ignore label; there are no other scans.
Compare rows of one precision: they are of the same machine. Those in bfloat16 are of earlier defaults of DyCON.

{table}

In float32, DyCON is {difference} above nnU-Net, over seeds: chance may be the reason.
"""
ACDC = """\
## Targets and views, on ACDC

How boxes and targets were chosen: one training a row, judged on {cases} training cases that are neither test cases nor
labeled, without mirroring, in bfloat16 where the row says nothing. After 3,000 steps DyCON is hardly above nnU-Net,
after 8,000 far above. "Labeled boxes only" is the default until then (`cutmix_fraction=0 copy_paste_share=1`); boxes of
other unlabeled patches added 0.03 to it. "Hard targets" are the teacher's most probable classes,
in nnU-Net's Dice and cross-entropy: they help early, and add nothing after 8,000 steps. Since then
[another loss for them](../benchmarks/results/defaults.md#hard-targets-that-do-not-grow) was tried.

{table}

[More trials](../benchmarks/results/defaults.md#soft-or-hard-targets).
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

Of hippocampi and lung nodules. Series 1 and 2 are the same trainings on two machines. nnU-Net's augmentation is not
seeded, so they differ. Series 3 is of later machines, which did not train nnU-Net. Of most
trainings the mean Dice alone is kept, with four digits: the records of single cases were lost with the machines.

{table}

The story behind these numbers, and what was tried and left:
[how label efficiency was measured](../benchmarks/results/label_efficiency.md) and
[how the defaults were chosen](../benchmarks/results/defaults.md). To repeat them or to measure your own data, see
[the benchmark](benchmark.md).
"""
