"""The process of a run: ``python -m benchmarks.label_efficiency.execute_run FOLDER``."""

from __future__ import annotations

import argparse
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.label_efficiency.benchmark_trainer import make_benchmark_trainer
from benchmarks.label_efficiency.curves import read_curves
from benchmarks.label_efficiency.files import read_json_file, write_whole_json
from benchmarks.label_efficiency.find_trainer_class import find_trainer_class
from benchmarks.label_efficiency.hidden_labels import write_hidden_labels
from benchmarks.label_efficiency.metrics import compare_files
from benchmarks.label_efficiency.oracle import nnUNetTrainerDyCONOracle
from benchmarks.label_efficiency.prediction import predict
from benchmarks.label_efficiency.presets import Preset
from benchmarks.label_efficiency.records import RECORD_VERSION
from benchmarks.label_efficiency.reduced_plans import CONFIGURATION, PLANS_IDENTIFIER
from benchmarks.label_efficiency.run import read_order
from benchmarks.label_efficiency.self_training import train_twice
from benchmarks.label_efficiency.settings import plans_of_arm, settings_in_force
from benchmarks.label_efficiency.training import THREE_QUARTERS_CHECKPOINT, train
from benchmarks.label_efficiency.versions import describe_packages

_SECONDS_BETWEEN_LOOKS = 2.0


def execute_run(folder: Path) -> None:
    """Train, predict the test cases, compare them with their labels and write the record.

    Args:
        folder: of the run, with its ``run.json``; nnU-Net's variables are set.
    """
    order = read_order(folder)
    arm, dataset = order["arm"], order["dataset_in_nnunet"]
    preset = Preset(**order["preset"])
    device = torch.device(order["device"])
    if order["threads"] is not None:
        torch.set_num_threads(order["threads"])
    base = find_trainer_class(arm["trainer"])
    bfloat16 = device.type == "cpu" and preset.bfloat16_on_cpu
    trainer_class = make_benchmark_trainer(base, preset, bfloat16=bfloat16)
    preprocessed = Path(os.environ["nnUNet_preprocessed"]) / dataset
    dataset_json = read_json_file(preprocessed / "dataset.json")
    plans = plans_of_arm(read_json_file(preprocessed / f"{PLANS_IDENTIFIER}.json"), arm["name"], base, arm["settings"])

    raw = Path(os.environ["nnUNet_raw"]) / dataset
    if issubclass(base, nnUNetTrainerDyCONOracle):
        base.hidden_labels_folder = folder / "hidden_labels"
        write_hidden_labels(raw, plans, dataset_json, base.hidden_labels_folder)
    first_seconds = 0.0
    if arm["kind"] == "self-training":
        first_checkpoint = None if order["first_checkpoint"] is None else Path(order["first_checkpoint"])
        trainings = train_twice(
            folder,
            trainer_class,
            plans,
            dataset_json,
            seed=order["seed"],
            device=device,
            bfloat16=bfloat16,
            first_checkpoint=first_checkpoint,
        )
        checkpoint = trainings.second
        first_seconds = sum(read_curves(trainings.first)["epoch_seconds"])
    else:
        checkpoint = train(trainer_class, plans, dataset_json, seed=order["seed"], device=device)

    def test(checkpoint: Path, predictions: Path, *, mirroring: bool) -> dict[str, Any]:
        images, references = raw / "imagesTs", raw / "labelsTs"
        where = {"device": device, "bfloat16": bfloat16, "mirroring": mirroring}
        predict(base, checkpoint, plans, dataset_json, images, predictions, **where)
        return _metrics(predictions, references, order["test"], dataset_json)

    started = time.monotonic()
    metrics = test(checkpoint, folder / "predictions", mirroring=True)
    prediction_seconds = time.monotonic() - started
    unmirrored = {
        name: test(file, folder / "predictions_without_mirroring" / name, mirroring=False)
        for name, file in (
            ("three_quarters", checkpoint.with_name(THREE_QUARTERS_CHECKPOINT)),
            ("final", checkpoint),
        )
    }
    curves = read_curves(checkpoint)
    record = {
        "version": RECORD_VERSION,
        **{key: order[key] for key in ("dataset", "dataset_in_nnunet", "budget", "arm", "seed", "preset")},
        **{key: order[key] for key in ("labeled", "unlabeled", "test", "device", "threads")},
        "trainer": base.__name__,
        "settings": settings_in_force(base, arm["settings"]),
        "configuration": _describe_configuration(plans),
        "packages": describe_packages(device),
        "training_seconds": first_seconds + sum(curves["epoch_seconds"]),
        "prediction_seconds": prediction_seconds,
        "curves": curves,
        "metrics": metrics,
        "metrics_without_mirroring": unmirrored,
    }
    write_whole_json(folder / "record.json", record)


def main(arguments: list[str] | None = None) -> None:
    """Execute a run.

    Args:
        arguments: the command line, without the program's name; that of this process if None.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="of the run")
    parser.add_argument("--parent", type=int, metavar="PID", help="end when this parent process has ended")
    options = parser.parse_args(arguments)
    if options.parent is not None:
        # nnU-Net's workers go on when they are not told to end: as a group they can be ended with this process.
        os.setpgrp()
        threading.Thread(target=_end_with, args=(options.parent,), daemon=True).start()
    execute_run(options.folder)


def _metrics(predictions: Path, references: Path, cases: list[str], dataset_json: dict[str, Any]) -> dict[str, Any]:
    ending = dataset_json["file_ending"]
    return {
        case: compare_files(predictions / (case + ending), references / (case + ending), dataset_json["labels"])
        for case in cases
    }


def _describe_configuration(plans: dict[str, Any]) -> dict[str, Any]:
    """What of the plans decides how good a network can be."""
    configuration = plans["configurations"][CONFIGURATION]
    described = {key: configuration[key] for key in ("patch_size", "batch_size", "spacing", "normalization_schemes")}
    network = configuration["architecture"]["arch_kwargs"]
    return described | {key: network[key] for key in ("features_per_stage", "strides", "kernel_sizes")}


def _end_with(parent: int) -> None:
    # A process that is killed leaves its children behind, and another one may take this run over.
    while os.getppid() == parent:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    print("The process that started this run has ended", flush=True)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
