"""The process of a run: ``python -m benchmarks.label_efficiency.worker FOLDER``."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks.label_efficiency.arm_settings import plans_of_arm
from benchmarks.label_efficiency.arms import ARMS, Arm
from benchmarks.label_efficiency.find_arms import find_trainer_class, settings_of_arm
from benchmarks.label_efficiency.oracle import nnUNetTrainerDyCONOracle, write_hidden_labels
from benchmarks.label_efficiency.presets import PLANS_IDENTIFIER, Preset
from benchmarks.label_efficiency.runs import RECORD_VERSION, read_json_file, write_whole_json
from benchmarks.label_efficiency.scores import compare_files
from benchmarks.label_efficiency.trainers import THREE_QUARTERS_CHECKPOINT, make_benchmark_trainer
from benchmarks.label_efficiency.training import Training, read_curves, self_train
from nnunetv2_dycon import __version__
from nnunetv2_dycon.postprocessing.largest_components import Structure, read_labels, structures_of_one_component

_PACKAGES = (
    "nnunetv2",
    "torch",
    "batchgenerators",
    "batchgeneratorsv2",
    "dynamic-network-architectures",
    "numpy",
    "SimpleITK",
    "medpy",
)
_SECONDS_BETWEEN_LOOKS = 2.0


def execute_run(folder: Path) -> None:
    """Train, predict the test cases, compare them with their labels and write the record.

    Args:
        folder: of the run, with its ``run.json``; nnU-Net's variables are set.
    """
    order = read_json_file(folder / "run.json")
    arm, preset = Arm(**order["arm"]), Preset(**order["preset"])
    device = torch.device(order["device"])
    if order["threads"] is not None:
        torch.set_num_threads(order["threads"])
    raw, preprocessed = (
        Path(os.environ[name]) / order["dataset_in_nnunet"] for name in ("nnUNet_raw", "nnUNet_preprocessed")
    )
    dataset_json = read_json_file(preprocessed / "dataset.json")
    trainer_class = find_trainer_class(arm.trainer)
    benchmark_plans = read_json_file(preprocessed / f"{PLANS_IDENTIFIER}.json")
    plans = plans_of_arm(benchmark_plans, preset.configuration, arm, trainer_class)
    if issubclass(trainer_class, nnUNetTrainerDyCONOracle):
        trainer_class.hidden_labels_folder = folder / "hidden_labels"
        write_hidden_labels(raw, plans, preset.configuration, dataset_json, trainer_class.hidden_labels_folder)

    bfloat16 = device.type == "cpu" and preset.bfloat16_on_cpu
    made = make_benchmark_trainer(trainer_class, preset, bfloat16=bfloat16)
    training = Training(made, plans, preset.configuration, dataset_json, order["seed"], device, bfloat16)
    first_seconds = 0.0
    if arm.kind == "self-training":
        first_arm = ARMS[arm.first_arm]
        first_class = find_trainer_class(first_arm.trainer)
        first_training = replace(
            training,
            trainer_class=make_benchmark_trainer(first_class, preset, bfloat16=bfloat16),
            plans=plans_of_arm(benchmark_plans, preset.configuration, first_arm, first_class),
        )
        first = None if order["first_checkpoint"] is None else Path(order["first_checkpoint"])
        first, checkpoint = self_train(first_training, training, folder, first, all_components=arm.all_components)
        first_seconds = order["first_seconds"] or sum(read_curves(first)["epoch_seconds"])
    else:
        checkpoint = training.train()

    # The network as nnU-Net builds it, whose output in bfloat16 stays so.
    testing = replace(training, trainer_class=trainer_class)

    def score(predictions: Path, structures: Sequence[Structure] = ()) -> dict[str, Any]:
        files = {case: case + dataset_json["file_ending"] for case in order["test"]}
        return {
            case: compare_files(predictions / name, raw / "labelsTs" / name, dataset_json["labels"], structures)
            for case, name in files.items()
        }

    def test(checkpoint: Path, predictions: Path, *, mirroring: bool) -> dict[str, Any]:
        testing.predict(checkpoint, raw / "imagesTs", predictions, mirroring=mirroring)
        return score(predictions)

    started = time.monotonic()
    metrics = test(checkpoint, folder / "predictions", mirroring=True)
    prediction_seconds = time.monotonic() - started
    labels = {case: raw / "labelsTr" / (case + dataset_json["file_ending"]) for case in order["labeled"]}
    structures = structures_of_one_component(read_labels(labels), dataset_json)
    checkpoints = {"three_quarters": checkpoint.with_name(THREE_QUARTERS_CHECKPOINT), "final": checkpoint}
    unmirrored = {
        name: test(file, folder / "predictions_without_mirroring" / name, mirroring=False)
        for name, file in checkpoints.items()
    }
    curves = read_curves(checkpoint)
    record = {
        "version": RECORD_VERSION,
        **{key: order[key] for key in ("dataset", "dataset_in_nnunet", "budget", "arm", "seed", "preset")},
        **{key: order[key] for key in ("labeled", "unlabeled", "test", "device", "threads")},
        "trainer": trainer_class.__name__,
        "settings": settings_of_arm(arm),
        "configuration": _describe_configuration(plans["configurations"][preset.configuration]),
        "packages": _describe_packages(device),
        "training_seconds": first_seconds + sum(curves["epoch_seconds"]),
        "prediction_seconds": prediction_seconds,
        "curves": curves,
        "metrics": metrics,
        "metrics_postprocessed": score(folder / "predictions", structures),
        "metrics_without_mirroring": unmirrored,
    }
    write_whole_json(folder / "record.json", record)


def _describe_configuration(configuration: dict[str, Any]) -> dict[str, Any]:
    """What of the plans decides how good a network can be."""
    described = {key: configuration[key] for key in ("patch_size", "batch_size", "spacing", "normalization_schemes")}
    network = configuration["architecture"]["arch_kwargs"]
    return described | {key: network[key] for key in ("features_per_stage", "strides", "kernel_sizes")}


def _describe_packages(device: torch.device) -> dict[str, str]:
    """Versions of what a run depends on, by name, and the machine."""
    return {
        "nnunetv2_dycon": __version__,
        **{name: version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "machine": torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} CPU",
    }


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


def _end_with(parent: int) -> None:
    # A process that is killed leaves its children behind, and its claim is free at once. Another one that takes this
    # run over imports nnU-Net first, which takes longer than a look.
    while os.getppid() == parent:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    print("The process that started this run has ended", flush=True)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
