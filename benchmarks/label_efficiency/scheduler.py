"""Which runs are wanted, and doing them one after the other, each in a process of its own."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from types import FrameType
from typing import Any, Literal

from benchmarks import REPOSITORY
from benchmarks.common.report import default_device, markdown_table
from benchmarks.label_efficiency.arms import ARMS, Arm
from benchmarks.label_efficiency.datasets import Source, prepare_budget_dataset, read_source
from benchmarks.label_efficiency.find_arms import arm_of_definition, arms_of_file, find_arm, settings_of_arm
from benchmarks.label_efficiency.presets import PRESETS, Preset
from benchmarks.label_efficiency.runs import Run, Workspace, read_json_file, write_whole_json
from benchmarks.label_efficiency.training import FINAL_CHECKPOINT, FOLD, pseudo_labeled_name
from nnunetv2_dycon.exceptions import UserError

Outcome = Literal["done", "failed", "claimed"]
_WORKER = "benchmarks.label_efficiency.worker"


def do_runs(options: argparse.Namespace) -> int:
    """Do the runs that the command line asks for.

    Args:
        options: of ``python -m benchmarks.label_efficiency run``.

    Returns:
        The exit code: 1 where a run failed.

    Raises:
        UserError: if options do not fit the data or the workspace.
    """
    workspace = Workspace(options.workspace.resolve())
    workspace.use_here()
    source = read_source(options.data, workspace, name=options.name, protocol_file=options.protocol)
    preset = _preset(options)
    wanted = _runs(workspace, source, _arms(options), options.budgets, options.seeds)
    numbers: Sequence[int] = range(len(wanted))
    if options.only is not None:
        if options.only not in numbers:
            raise UserError(f"--only must be a number from 0 to {len(wanted) - 1}, and is {options.only}")
        numbers = [options.only]
    if options.list:
        rows = [
            [str(number), run.dataset, run.budget, run.arm.name, str(run.seed), run.state()]
            for number, run in enumerate(wanted)
            if number in numbers
        ]
        print(markdown_table(["number", "dataset", "labels", "arm", "seed", "state"], rows))
        return 0
    _keep_preset(workspace, source, preset)
    for run in wanted:
        run.plan()
    before = signal.signal(signal.SIGTERM, _end)
    try:
        failed = [
            wanted[number].title
            for number in numbers
            if _do_run(workspace, source, preset, wanted[number], options) == "failed"
        ]
    finally:
        signal.signal(signal.SIGTERM, before)
    if failed:
        print(f"{len(failed)} runs failed:\n  " + "\n  ".join(failed), flush=True)
    return 1 if failed else 0


def _arms(options: argparse.Namespace) -> list[Arm]:
    named = [find_arm(name) for name in options.arms]
    added = [arm for file in options.method for arm in arms_of_file(file)]
    added += [arm_of_definition(words) for words in options.define]
    names = [arm.name for arm in named + added]
    twice = sorted({name for name in names if names.count(name) > 1} | ({arm.name for arm in added} & ARMS.keys()))
    if twice:
        raise UserError(f"the name {', '.join(twice)} is taken by another arm: choose another one")
    for name in names:
        if re.fullmatch(r"[\w.-]+", name) is None:
            raise UserError(f'"{name}" cannot name an arm: use letters, digits, "-", "." and "_"')
    if not names:
        raise UserError("no arms: name some with --arms, --method or --define")
    return named + added


def _runs(
    workspace: Workspace, source: Source, arms: Sequence[Arm], budgets: Sequence[str], seeds: Sequence[int]
) -> list[Run]:
    """All runs in the order of their numbers: seed by seed, so that a report of the first ones has all arms."""
    return [
        Run(workspace.run_folder(source.name, budget, arm.name, seed), source.name, budget, arm, seed)
        for seed in seeds
        for budget in budgets
        for arm in arms
        if source.unlabeled(budget)
        # Where all voxels are labeled, only nnU-Net itself has something to do.
        or not arm.needs_unlabeled
        # Ignored voxels are unlabeled too, but nothing is predicted for them.
        or (source.has_ignore_label and arm.kind != "self-training")
    ]


def _preset(options: argparse.Namespace) -> Preset:
    names = ("epochs", "steps", "validation_steps", "patch_size", "features", "convolutions")
    given: dict[str, Any] = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    for name, value in given.items():
        if min(value if isinstance(value, list) else [value]) < 1:
            raise UserError(f"--{name.replace('_', '-')} must be at least 1")
    preset = PRESETS[options.preset]
    changes: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in given.items()
    }
    return replace(preset, bfloat16_on_cpu=preset.bfloat16_on_cpu and not options.float32, **changes)


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


def _do_run(workspace: Workspace, source: Source, preset: Preset, run: Run, options: argparse.Namespace) -> Outcome:
    """Do a run from where an interrupted attempt left it, unless it is recorded or another process has it."""
    if run.record_file.is_file():
        if read_json_file(run.record_file)["settings"] != settings_of_arm(run.arm):
            print(
                f"{run.title}: recorded with other settings than now. To do it again, remove {run.folder}", flush=True
            )
        return "done"
    first = _run_of_first_arm(workspace, run)
    # A process that does one run alone will not come back to it, and so trains its own.
    if first is not None and first.state() == "claimed" and options.only is None:
        print(f"{run.title}: needs {first.title}, which is claimed by {first.claim.describe()}.", flush=True)
        return "claimed"
    if first is not None and first.arm.kind == "self-training" and first.state() != "done":
        print(f"{run.title}: starts from {first.title}, which is {first.state()}: do that run first.", flush=True)
        return "failed"
    device = options.device or default_device()
    environment = workspace.environment(
        run.folder / "nnUNet_results",
        device=device,
        processes=options.processes or min(4, os.cpu_count() or 1),
        workers=options.workers,
    )
    dataset = prepare_budget_dataset(workspace, source, run.budget, preset, environment)
    model = _model_to_start_from(first, run, dataset.name)
    if first is not None and first.arm.kind == "self-training" and model["first_checkpoint"] is None:
        print(
            f"{run.title}: {first.title} was done with other settings, or its checkpoint is gone: do it again, after "
            f"removing {first.folder}",
            flush=True,
        )
        return "failed"
    details: dict[str, Any] = {
        "preset": asdict(preset),
        "dataset_in_nnunet": dataset.name,
        "labeled": dataset.labeled,
        "unlabeled": dataset.unlabeled,
        "test": dataset.test,
        "device": device,
        "threads": options.threads,
        **model,
    }
    claim = run.claim
    if not claim.take():
        print(f"{run.title}: claimed by {claim.describe()}.", flush=True)
        return "claimed"
    with claim:
        if run.record_file.is_file():
            return "done"
        run.failure_file.unlink(missing_ok=True)
        run.write_order(**details)
        print(f"{run.title}: started, {run.log_file}", flush=True)
        started = time.monotonic()
        code = _run_worker(run, environment)
        minutes = (time.monotonic() - started) / 60
        if code == 0 and run.record_file.is_file():
            print(f"{run.title}: done in {minutes:.1f} min", flush=True)
            return "done"
        write_whole_json(run.failure_file, {"exit_code": code, "log": str(run.log_file)})
        print(f"{run.title}: FAILED with exit code {code} after {minutes:.1f} min, see {run.log_file}", flush=True)
        return "failed"


def _run_of_first_arm(workspace: Workspace, run: Run) -> Run | None:
    """The run from whose model self-training starts; None for other arms."""
    if run.arm.kind != "self-training":
        return None
    folder = workspace.run_folder(run.dataset, run.budget, run.arm.first_arm, run.seed)
    return replace(run, folder=folder, arm=ARMS[run.arm.first_arm])


def _model_to_start_from(first: Run | None, run: Run, dataset: str) -> dict[str, Any]:
    """The final checkpoint of a first run and its time, where it is done with the settings that its arm has now.

    None of both for a run that has begun with a first training of its own.
    """
    none = {"first_checkpoint": None, "first_seconds": None}
    if first is None or not first.record_file.is_file():
        return none
    if run.order_file.is_file() and read_json_file(run.order_file)["first_checkpoint"] is None:
        return none
    record = read_json_file(first.record_file)
    if record["settings"] != settings_of_arm(first.arm):
        return none
    if first.arm.kind == "self-training":
        dataset = pseudo_labeled_name(dataset)
    for checkpoint in (first.folder / "nnUNet_results" / dataset).glob(f"*/fold_{FOLD}/{FINAL_CHECKPOINT}"):
        return {"first_checkpoint": str(checkpoint), "first_seconds": record["training_seconds"]}
    return none


def _run_worker(run: Run, environment: Mapping[str, str]) -> int:
    """Execute a run in a process of its own; returns its exit code."""
    command = [sys.executable, "-m", _WORKER, str(run.folder), "--parent", str(os.getpid())]
    with run.log_file.open("a", encoding="utf-8") as log:
        process = subprocess.Popen(command, cwd=REPOSITORY, env=dict(environment), stdout=log, stderr=subprocess.STDOUT)
        try:
            return process.wait()
        finally:
            # Where this process is told to end, and for nnU-Net's workers that a killed process has left behind.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            # It may not have made its group yet.
            process.kill()
            process.wait()


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (Python's signature)
    raise SystemExit(128 + number)
