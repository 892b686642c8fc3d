"""Self-training: train, predict the unlabeled scans, retrain on both."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nnunetv2_dycon.datasets.label_maps import check_prediction
from nnunetv2_dycon.datasets.names import dataset_id
from nnunetv2_dycon.datasets.preprocessed_cases import preprocessing_command
from nnunetv2_dycon.datasets.raw_file_names import UNLABELED_FOLDER_NAME
from nnunetv2_dycon.exceptions import UserError, listed
from nnunetv2_dycon.files import hash_file, written_aside
from nnunetv2_dycon.json_files import read_json
from nnunetv2_dycon.nnunet_command import print_heading, run_nnunet_command
from nnunetv2_dycon.self_training.check_self_training import (
    SelfTrainingOptions,
    SelfTrainingRound,
    changed_labels,
    check_self_training,
    configurations_of_data,
    is_trained,
    time_of,
)
from nnunetv2_dycon.self_training.pseudo_labeled_dataset import PseudoLabeledDataset, add_pseudo_labels
from nnunetv2_dycon.self_training.report import report_predictions
from nnunetv2_dycon.training.checkpoints import FINAL_CHECKPOINT, IN_ORDER_OF_NNUNET, is_whole

# Predict, label, preprocess, train.
_STEPS_OF_A_ROUND = 4


def run_self_training(options: SelfTrainingOptions) -> Path:
    """Do all steps of all rounds that are not done yet, each by the command line that is printed.

    Returns:
        Fold folder of the last model.

    Raises:
        UserError: for what is wrong, before anything is done where it can be known, and when a command fails. Started
            again, the same call goes on where it ended.
    """
    rounds = check_self_training(options)
    first = rounds[0]
    steps = 1 + _STEPS_OF_A_ROUND * len(rounds)
    numbers = (f"{step}/{steps}" for step in range(1, steps + 1))
    print_heading(f"{next(numbers)}  First model, on the labeled cases")
    if is_trained(first.first_model):
        _warn_of_later_labels(options, first)
        print(f"{first.first_model} is trained.")
    else:
        _train_model(first.source.name, options.trainer, first.first_model, options)
    for each in rounds:
        _run_round(options, each, numbers)
    return rounds[-1].second_model


def _run_round(options: SelfTrainingOptions, folders: SelfTrainingRound, numbers: Iterator[str]) -> None:
    """Predict, make the dataset, preprocess it and train on it; each heading takes the next number."""
    source, target = folders.source.name, folders.target_raw.name
    print_heading(
        f"{next(numbers)}  {folders.first_dataset}'s model predicts {len(folders.cases.unlabeled)} unlabeled scans"
    )
    _predict_unlabeled(options, folders)
    print_heading(
        f"{next(numbers)}  {target}: the labeled cases, and the unlabeled ones with these predictions as labels"
    )
    line = ["nnunetv2_dycon", "pseudo-label", "-d", source, "-i", str(folders.predictions), "-o", target]
    line += ["--copy"] * options.copy + ["--all_components"] * options.all_components
    print(f"$ {shlex.join(line)}", flush=True)
    dataset = add_pseudo_labels(
        source, folders.predictions, target, link=not options.copy, all_components=options.all_components
    )
    report_predictions(dataset)
    print_heading(f"{next(numbers)}  {target} gets the same plans and is preprocessed")
    _preprocess_target(options, folders, dataset)
    print_heading(f"{next(numbers)}  A model from scratch, on {target}")
    _train_model(target, options.last_trainer, folders.second_model, options)


def _warn_of_later_labels(options: SelfTrainingOptions, folders: SelfTrainingRound) -> None:
    """Tell of labels from which the first model, which is trained, may not have learnt."""
    source = folders.source
    data_folder = source.data_folder(options.configuration)
    again = f"remove {folders.first_model}, and start again with a new -o"
    trained = time_of(folders.first_model / FINAL_CHECKPOINT)
    if changed := changed_labels(options, folders):
        print(f"WARNING: {changed}")
        print(f"To train the first model on the labels as they are, then {again}.")
    labeled = sorted(folders.cases.labeled.training)
    new = [case for case in labeled if not (data_folder / f"{case}.pkl").is_file()]
    if new and data_folder.is_dir():
        command = preprocessing_command(source.name, options.configuration, options.plans)
        print(
            f"WARNING: {listed(new)}: labeled, but not preprocessed, so the first model did not learn from "
            f"{'it' if len(new) == 1 else 'them'}. If it is to, run {command}"
        )
        print(f"Then {again}.")
    if later := [case for case in labeled if time_of(data_folder / f"{case}.pkl") > trained]:
        print(
            f"WARNING: {listed(later)}: preprocessed after the first model was trained. If the labels have changed, "
            f"{again}."
        )


def _train_model(dataset_name: str, trainer: str, fold_folder: Path, options: SelfTrainingOptions) -> None:
    """Train with nnUNetv2_train, go on with a training that was interrupted, or leave a trained model as it is."""
    arguments = [dataset_name, options.configuration, options.fold, "-tr", trainer, "-p", options.plans]
    arguments += ["-device", options.device]
    if is_trained(fold_folder):
        if (fold_folder / "validation" / "summary.json").is_file():
            print(f"{fold_folder} is trained.")
            return
        arguments.append("--val")
    elif _has_whole_checkpoint(fold_folder):
        arguments.append("--c")
    run_nnunet_command("nnUNetv2_train", *arguments, environment=os.environ)


def _has_whole_checkpoint(fold_folder: Path) -> bool:
    """Whether there is a checkpoint to go on from; what a killed nnU-Net has left of others is moved out of its way."""
    for name in IN_ORDER_OF_NNUNET:
        checkpoint = fold_folder / name
        if is_whole(checkpoint):
            return True
        if checkpoint.is_file():
            part = checkpoint.replace(checkpoint.with_name(f"{name}.part"))
            print(f"{checkpoint} was not written to its end: it is {part.name} now, and is not used.")
    return False


def _predict_unlabeled(options: SelfTrainingOptions, folders: SelfTrainingRound) -> None:
    """Predict what is not predicted yet, with nnUNetv2_predict.

    A killed nnUNetv2_predict leaves damaged files, which it would take for done: they are removed and made again.
    """
    predictions, dataset = folders.predictions, folders.cases.labeled
    predictions.mkdir(exist_ok=True)
    _refuse_other_predictions(options, folders)
    files = [predictions / (case.identifier + dataset.file_ending) for case in folders.cases.unlabeled]
    pending = [file for file in files if not _is_whole(file, folders.cases.dataset_json)]
    if not pending:
        print(f"The unlabeled scans are predicted in {predictions}.")
        return
    for file in pending:
        file.unlink(missing_ok=True)
    arguments = ["-d", folders.first_dataset, "-c", options.configuration, "-f", options.fold]
    arguments += ["-tr", folders.first_trainer, "-p", options.plans, "-device", options.device]
    arguments += ["-i", str(dataset.folder / UNLABELED_FOLDER_NAME), "-o", str(predictions), "--continue_prediction"]
    if options.disable_tta:
        arguments.append("--disable_tta")
    if options.num_processes is not None:
        arguments += ["-npp", str(options.num_processes), "-nps", str(options.num_processes)]
    run_nnunet_command("nnUNetv2_predict", *arguments, environment=os.environ)


def _is_whole(file: Path, dataset_json: dict[str, Any]) -> bool:
    try:
        check_prediction(file, dataset_json)
    except UserError:
        return False
    return True


def _refuse_other_predictions(options: SelfTrainingOptions, folders: SelfTrainingRound) -> None:
    checkpoint, marker = folders.first_model / FINAL_CHECKPOINT, folders.predictions / "predicted_with.json"
    predicted_with = {"checkpoint_sha256": hash_file(checkpoint), "disable_tta": options.disable_tta}
    if not marker.is_file():
        with written_aside(marker) as partial:
            partial.write_text(json.dumps(predicted_with, indent=1) + "\n", encoding="utf-8")
        return
    there = read_json(marker)
    if different := [name for name, value in predicted_with.items() if there.get(name) != value]:
        raise UserError(
            f"{folders.predictions} holds predictions of another checkpoint or with other options "
            f"({', '.join(different)} differ): remove that folder to predict again. A dataset that was made of "
            "them needs another -o then"
        )


def _preprocess_target(options: SelfTrainingOptions, folders: SelfTrainingRound, dataset: PseudoLabeledDataset) -> None:
    """Move the plans and preprocess by nnU-Net's own commands; what is done is not done again."""
    target, name = folders.target_preprocessed, folders.target_raw.name
    number = str(dataset_id(name))
    processes = [] if options.num_processes is None else ["-np", str(options.num_processes)]
    if not (target / "dataset_fingerprint.json").is_file():
        run_nnunet_command("nnUNetv2_extract_fingerprint", "-d", number, *processes, environment=os.environ)
    plans_file = target / f"{options.plans}.json"
    if not plans_file.is_file():
        arguments = ("-s", folders.source.name, "-t", name, "-sp", options.plans, "-tp", options.plans)
        run_nnunet_command("nnUNetv2_move_plans_between_datasets", *arguments, environment=os.environ)
    elif read_json(plans_file, ("configurations",))["configurations"] != folders.source.plans["configurations"]:
        raise UserError(f"{plans_file} differs from {folders.source.plans_file}: remove it, or choose another -o")
    configurations = configurations_of_data(folders.source, options.configuration)
    data_folders = [target / folders.source.configuration(stage).data_identifier for stage in configurations]
    # nnU-Net writes CASE.pkl last of a case, and copies the labels last of all.
    labels, ending = target / "gt_segmentations", folders.cases.labeled.file_ending
    if all(
        (labels / (case + ending)).is_file() and all((folder / f"{case}.pkl").is_file() for folder in data_folders)
        for case in (*dataset.labeled, *dataset.pseudo_labeled)
    ):
        print(f"The new dataset is preprocessed in {', '.join(map(str, data_folders))}.")
        return
    preprocessing = ("-d", number, "-plans_name", options.plans, "-c", *configurations, *processes)
    run_nnunet_command("nnUNetv2_preprocess", *preprocessing, environment=os.environ)
