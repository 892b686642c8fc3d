"""One draw: a first training, choices of further cases, and a training with each."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from benchmarks.common.intervals import mean_where_defined
from benchmarks.label_efficiency import __main__ as label_efficiency
from benchmarks.label_efficiency.arms import ARMS, REFERENCE_ARM
from benchmarks.label_efficiency.datasets import ALL, read_source
from benchmarks.label_efficiency.runs import Record, Run, Workspace, read_json_file, write_whole_json
from benchmarks.label_efficiency.scores import case_scores
from benchmarks.label_efficiency.training import FOLD
from nnunetv2_dycon.annotation.ranking import Criterion
from nnunetv2_dycon.datasets.protocol import Protocol
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.nnunet_command import run_nnunet_command

# By chance, or by what rank is told.
RANDOM = "random"
CHOICES = (*get_args(Criterion), RANDOM)
NOTHING_CHOSEN = "first training"


@dataclass(frozen=True)
class Settings:
    """What all draws share.

    Attributes:
        data: a fully labeled dataset.
        workspace: of the trainings.
        preset: of label_efficiency.
        first: number of cases of the first training.
        more: number of cases that are chosen.
        device: ``cpu`` or ``cuda``.
        processes: for preprocessing.
        others: further options of label_efficiency.
    """

    data: Path
    workspace: Path
    preset: str
    first: int
    more: int
    device: str
    processes: int
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """A training.

    Attributes:
        dataset: name of the folder of the data.
        draw: of which it is.
        choice: by what cases were chosen.
        labels: number of labeled cases.
        chosen: the chosen cases, with spaces between.
        dice: mean over test cases and classes.
    """

    dataset: str
    draw: int
    choice: str
    labels: int
    chosen: str
    dice: float

    @property
    def training(self) -> tuple[str, int, str, int]:
        """What tells it from the others of a file."""
        return self.dataset, self.draw, self.choice, self.labels


def do_draw(settings: Settings, draw: int, choices: Sequence[str]) -> list[Result]:
    """Do the trainings of a draw that are not done.

    Args:
        settings: of all draws.
        draw: seed of the first cases, of the random choice and of the trainings.
        choices: of :data:`CHOICES`.

    Raises:
        UserError: if there are too few training cases, and if a training or command fails.
    """
    workspace = Workspace(settings.workspace)
    protocol = read_source(settings.data, workspace).protocol
    if min(settings.first, settings.more) < 1 or settings.first + settings.more > len(protocol.train):
        raise UserError(f"--first and --more must be at least 1, and together at most {len(protocol.train)}")
    order = [protocol.train[index] for index in np.random.default_rng(draw).permutation(len(protocol.train))]
    first = order[: settings.first]
    record = _train(settings, draw, "first", Protocol(tuple(order), protocol.test), str(settings.first))
    dataset = settings.data.resolve().name
    results = [Result(dataset, draw, NOTHING_CHOSEN, len(first), "", _dice(record))]
    for choice in choices:
        if choice == RANDOM:
            # They are in random order.
            chosen = order[settings.first :][: settings.more]
        else:
            chosen = _rank(settings, record, choice)[: settings.more]
        labeled = Protocol((*first, *chosen), protocol.test)
        dice = _dice(_train(settings, draw, choice, labeled, ALL))
        results.append(Result(dataset, draw, choice, len(labeled.train), " ".join(chosen), dice))
    return results


def _train(settings: Settings, draw: int, name: str, protocol: Protocol, budget: str) -> Record:
    """Train plain nnU-Net on the first cases of a protocol, by label_efficiency."""
    name = f"{settings.data.resolve().name}_draw{draw}_{name}"
    file = settings.workspace / "choices" / f"{name}.json"
    write_whole_json(file, asdict(protocol))
    code = label_efficiency.main(
        [
            *("run", "--data", str(settings.data), "--workspace", str(settings.workspace)),
            *("--name", name, "--protocol", str(file), "--preset", settings.preset, "--budgets", budget),
            *("--arms", REFERENCE_ARM, "--seeds", str(draw), "--device", settings.device),
            *("--processes", str(settings.processes), *settings.others),
        ]
    )
    folder = Workspace(settings.workspace).run_folder(name, budget, REFERENCE_ARM, draw)
    if code != 0 or not (folder / "record.json").is_file():
        raise UserError(f"the training in {folder} failed or is another process's: its log.txt says more")
    run = Run(folder, name, budget, ARMS[REFERENCE_ARM], draw)
    return Record(run, "done", read_json_file(run.record_file))


def _dice(record: Record) -> float:
    return round(float(mean_where_defined(case_scores([record], "dice"), axis=1)[0]), 5)


def _rank(settings: Settings, record: Record, criterion: str) -> list[str]:
    """All unlabeled cases in the order of ``nnunetv2_dycon rank`` with the network of a run."""
    run, dataset = record.run, record.content["dataset_in_nnunet"]
    results, output = run.folder / "nnUNet_results", run.folder / "ranking"
    (model,) = (results / dataset).iterdir()
    # The predictions are those of the other criteria.
    flags = ["--disable_tta", *(["--continue_prediction"] if (output / "ranking.json").is_file() else [])]
    run_nnunet_command(
        "nnunetv2_dycon",
        *("rank", "-d", dataset[7:10], "-m", model, "-f", FOLD, "-o", output, "-n", str(settings.more)),
        *("--by", criterion, "-device", settings.device, "-npp", str(settings.processes), *flags),
        environment=Workspace(settings.workspace).environment(
            results, device=settings.device, processes=settings.processes, workers=None
        ),
    )
    with (output / "ranking.csv").open(newline="") as stream:
        return [row["case"] for row in csv.DictReader(stream)]
