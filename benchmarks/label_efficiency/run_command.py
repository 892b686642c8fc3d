"""``python -m benchmarks.label_efficiency run``."""

from __future__ import annotations

import argparse
import json
import os
import signal
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.common.report import default_device, markdown_table
from benchmarks.label_efficiency.arms import ARMS, REFERENCE_ARM, Arm
from benchmarks.label_efficiency.budget_dataset import prepare_budget_dataset
from benchmarks.label_efficiency.do_run import do_run
from benchmarks.label_efficiency.files import read_json_file, write_whole_json
from benchmarks.label_efficiency.find_trainer_class import find_trainer_class
from benchmarks.label_efficiency.methods import arm_of_definition, arms_of_file
from benchmarks.label_efficiency.presets import PRESETS, Preset
from benchmarks.label_efficiency.run import Run
from benchmarks.label_efficiency.settings import settings_in_force
from benchmarks.label_efficiency.source import ALL, Source, read_source
from benchmarks.label_efficiency.training import FINAL_CHECKPOINT, FOLD
from benchmarks.label_efficiency.workspace import Workspace
from nnunetv2_dycon.exceptions import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Trains every arm on every budget with every seed, predicts the test cases and records the metrics. Runs that "
        "are recorded are skipped, interrupted ones are continued. Several processes, on several machines that share "
        "the workspace, may run this command at once: each takes runs that no other has."
    )
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="a fully labeled dataset")
    parser.add_argument("--workspace", type=Path, required=True, metavar="FOLDER", help="everything goes there")
    parser.add_argument("--preset", required=True, choices=sorted(PRESETS), help="network, patch and length")
    parser.add_argument("--budgets", nargs="+", required=True, metavar="N", help="numbers of labels, or all")
    parser.add_argument("--arms", nargs="+", default=[], metavar="ARM", help=f"of {', '.join(ARMS)}")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="S", help="default: 0")
    parser.add_argument(
        "--method", nargs="+", type=Path, default=[], metavar="FILE.py", help="further arms: a method in a file each"
    )
    parser.add_argument(
        "--define",
        nargs="+",
        action="append",
        default=[],
        metavar="WORD",
        help="a further arm: its name, a trainer (as nnU-Net finds it, or MODULE:CLASS), then settings as NAME=VALUE",
    )
    parser.add_argument("--name", help="name of the dataset in tables and folders (default: the folder's)")
    parser.add_argument(
        "--protocol", type=Path, metavar="FILE", help="JSON file with the lists train and test (default: protocol.json)"
    )
    parser.add_argument("--epochs", type=int, metavar="N", help="instead of the preset's")
    parser.add_argument("--steps", type=int, metavar="N", help="training steps an epoch, instead of the preset's")
    parser.add_argument("--validation-steps", type=int, metavar="N", help="instead of the preset's")
    parser.add_argument("--patch-size", nargs=3, type=int, metavar="N", help="instead of the preset's")
    parser.add_argument("--features", nargs="+", type=int, metavar="N", help="instead of the preset's")
    parser.add_argument("--convolutions", nargs="+", type=int, metavar="N", help="instead of the preset's")
    parser.add_argument(
        "--float32", action="store_true", help="on a CPU, no bfloat16, which is slow on those without AMX"
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], help="default: cuda if there is one")
    parser.add_argument("--threads", type=int, metavar="T", help="CPU threads of a training (default: torch's choice)")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="augmentation workers (default: 1 on a CPU); 0 repeats runs exactly"
    )
    parser.add_argument("--processes", type=int, metavar="N", help="for preprocessing (default: CPU cores, at most 4)")
    parser.add_argument("--list", action="store_true", help="print the runs with their numbers and states, do nothing")
    parser.add_argument("--only", type=int, metavar="I", help="do the run of this number only, e.g. in a SLURM array")
    parser.add_argument("--take-over", action="store_true", help="take over the claims of processes that have died")


def run(options: argparse.Namespace) -> int:
    """Do the runs.

    Args:
        options: as declared.

    Returns:
        The exit code: 1 where a run failed or a claim of a process that died is in the way.

    Raises:
        UserError: if options do not fit the data or the workspace.
    """
    workspace = Workspace(options.workspace.resolve())
    workspace.use_here()
    source = read_source(options.data, workspace, name=options.name, protocol_file=options.protocol)
    preset = _preset(options)
    runs = wanted = _runs(workspace, source, _arms(options), options.budgets, options.seeds)
    if options.only is not None:
        if not 0 <= options.only < len(runs):
            raise UserError(f"--only must be a number from 0 to {len(runs) - 1}, and is {options.only}")
        runs = {options.only: runs[options.only]}
    if options.list:
        rows = [
            [str(number), each.dataset, each.budget, each.arm.name, str(each.seed), each.state()]
            for number, each in runs.items()
        ]
        print(markdown_table(["number", "dataset", "labels", "arm", "seed", "state"], rows))
        return 0
    _keep_preset(workspace, source, preset)
    for each in wanted.values():
        each.plan()
    before = signal.signal(signal.SIGTERM, _end)
    try:
        outcomes = {number: _do(workspace, source, preset, each, options) for number, each in runs.items()}
    finally:
        signal.signal(signal.SIGTERM, before)
    failed = [runs[number].title for number, outcome in outcomes.items() if outcome == "failed"]
    stale = [each.title for each in runs.values() if each.state() == "stale claim"]
    for kind, titles in (("failed", failed), ("are claimed by processes that died", stale)):
        if titles:
            print(f"{len(titles)} runs {kind}:\n  " + "\n  ".join(titles), flush=True)
    return 1 if failed or stale else 0


def _do(workspace: Workspace, source: Source, preset: Preset, each: Run, options: argparse.Namespace) -> str:
    if each.record_file.is_file():
        _warn_of_another_arm(each)
        return "done"
    device = options.device or default_device()
    environment = workspace.environment(
        each.folder / "nnUNet_results",
        device=device,
        processes=options.processes or min(4, os.cpu_count() or 1),
        workers=options.workers,
    )
    dataset = prepare_budget_dataset(
        workspace, source, each.budget, preset, environment=environment, take_over=options.take_over
    )
    details: dict[str, Any] = {
        "preset": asdict(preset),
        "dataset_in_nnunet": dataset.name,
        "labeled": dataset.labeled,
        "unlabeled": dataset.unlabeled,
        "test": dataset.test,
        "device": device,
        "threads": options.threads,
        "first_checkpoint": _checkpoint_of_reference(workspace, each, dataset.name),
    }
    return do_run(each, details, environment, take_over=options.take_over)


def _checkpoint_of_reference(workspace: Workspace, each: Run, dataset: str) -> str | None:
    """The final checkpoint of plain nnU-Net on the same labels with the same seed, where that run is done."""
    folder = workspace.run_folder(each.dataset, each.budget, REFERENCE_ARM, each.seed)
    if each.arm.kind != "self-training" or not (folder / "record.json").is_file():
        return None
    (checkpoint,) = (folder / "nnUNet_results" / dataset).glob(f"*/fold_{FOLD}/{FINAL_CHECKPOINT}")
    return str(checkpoint)


def _arms(options: argparse.Namespace) -> list[Arm]:
    unknown = [name for name in options.arms if name not in ARMS]
    if unknown:
        raise UserError(f"--arms: there is no {', '.join(unknown)}. There are {', '.join(ARMS)}")
    arms = [ARMS[name] for name in options.arms]
    arms += [arm for file in options.method for arm in arms_of_file(file)]
    arms += [arm_of_definition(words) for words in options.define]
    names = [arm.name for arm in arms]
    twice = sorted({name for name in names if names.count(name) > 1} | (set(names[len(options.arms) :]) & ARMS.keys()))
    if twice:
        raise UserError(f"the name {', '.join(twice)} is taken by another arm: choose another one")
    if not arms:
        raise UserError("no arms: name some with --arms, --method or --define")
    return arms


def _runs(
    workspace: Workspace, source: Source, arms: Sequence[Arm], budgets: Sequence[str], seeds: Sequence[int]
) -> dict[int, Run]:
    """All runs by number. Seed by seed, so that a report of the first ones has all arms."""
    for budget in budgets:
        if budget != ALL and not budget.isdecimal():
            raise UserError(f"--budgets: {budget} is no number of labels, and not all")
    runs = [
        Run(workspace.run_folder(source.name, budget, arm.name, seed), source.name, budget, arm, seed)
        for seed in seeds
        for budget in budgets
        for arm in arms
        # Where all cases are labeled, only nnU-Net itself has something to do.
        if source.unlabeled(budget) or not arm.needs_unlabeled
    ]
    return dict(enumerate(runs))


def _preset(options: argparse.Namespace) -> Preset:
    names = ("epochs", "steps", "validation_steps", "patch_size", "features", "convolutions")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    for name, value in given.items():
        if min(value if isinstance(value, list) else [value]) < 1:
            raise UserError(f"--{name.replace('_', '-')} must be at least 1")
    preset = PRESETS[options.preset]
    return replace(
        preset,
        bfloat16_on_cpu=preset.bfloat16_on_cpu and not options.float32,
        **{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()},
    )


def _keep_preset(workspace: Workspace, source: Source, preset: Preset) -> None:
    """Arms are compared on the same footing only."""
    file = workspace.runs / source.name / "preset.json"
    if not file.is_file():
        write_whole_json(file, asdict(preset))
    there, now = read_json_file(file), json.loads(json.dumps(asdict(preset)))
    different = sorted(name for name in there.keys() | now.keys() if there.get(name) != now.get(name))
    if different:
        raise UserError(
            f"the runs in {file.parent} have another {', '.join(different)}. Give the same options, or use another "
            "--workspace, or another --name for the dataset"
        )


def _warn_of_another_arm(each: Run) -> None:
    there = read_json_file(each.record_file)
    settings = settings_in_force(find_trainer_class(each.arm.trainer), each.arm.settings)
    if there["settings"] != settings:
        print(f"{each.title}: recorded with other settings than now. To do it again, remove {each.folder}", flush=True)


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (Python's signature)
    raise SystemExit(128 + number)
