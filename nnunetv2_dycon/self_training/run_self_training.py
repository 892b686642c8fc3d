"""Self-training: train, predict the unlabeled scans, retrain on both."""

from __future__ import annotations

import filecmp
import json
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from nnunetv2.utilities.file_path_utilities import convert_trainer_plans_config_to_identifier

from nnunetv2_dycon.datasets.hidden_files import refuse_hidden_files
from nnunetv2_dycon.datasets.names import dataset_id, existing_dataset_folder, raw_folder, results_folder
from nnunetv2_dycon.datasets.planned_dataset import PlannedDataset, read_planned_dataset
from nnunetv2_dycon.datasets.preprocessed_cases import preprocessing_command
from nnunetv2_dycon.datasets.raw_dataset import UNLABELED_FOLDER_NAME
from nnunetv2_dycon.exceptions import UnsupportedFeatureError, UserError, listed
from nnunetv2_dycon.files import hash_file, written_aside
from nnunetv2_dycon.json_files import read_json
from nnunetv2_dycon.nnunet_command import print_heading, run_nnunet_command
from nnunetv2_dycon.self_training.pseudo_labeled_dataset import (
    PseudoLabeledDataset,
    SourceCases,
    add_pseudo_labels,
    check_prediction,
    origin_of_predictions,
    pseudo_labeled_dataset_name,
    read_record,
    read_source_cases,
    read_source_splits,
)
from nnunetv2_dycon.training.checkpoints import FINAL_CHECKPOINT
from nnunetv2_dycon.training.find_trainer import find_trainer
from nnunetv2_dycon.training.trainer import nnUNetTrainerSemiSupervised


@dataclass(frozen=True)
class SelfTrainingOptions:
    """The options of ``nnunetv2_dycon self-train``, as its help says."""

    dataset: str
    output: str
    configuration: str = "3d_fullres"
    fold: str = "0"
    trainer: str = "nnUNetTrainer"
    second_trainer: str | None = None
    plans: str = "nnUNetPlans"
    device: str = "cuda"
    disable_tta: bool = False
    copy: bool = False
    num_processes: int | None = None

    @property
    def last_trainer(self) -> str:
        """The trainer of the second model."""
        return self.second_trainer or self.trainer


@dataclass(frozen=True)
class SelfTrainingFolders:
    """Where a self-training reads and writes; models are fold folders."""

    source: PlannedDataset
    cases: SourceCases
    target_raw: Path
    target_preprocessed: Path
    first_model: Path
    second_model: Path

    @property
    def predictions(self) -> Path:
        """Folder of the first model's predictions of ``imagesUnlabeled``."""
        return self.first_model / "pseudo_labels"


def run_self_training(options: SelfTrainingOptions) -> Path:
    """Do all steps that are not done yet, each by the command line that is printed.

    Returns:
        Fold folder of the second model.

    Raises:
        UserError: for what is wrong, before anything is done where it can be known, and when a command fails. Started
            again, the same call goes on where it ended.
    """
    folders = check_self_training(options)
    source, target = folders.source.name, folders.target_raw.name
    print_heading("1/5  First model, on the labeled cases")
    if _is_trained(folders.first_model):
        _warn_of_later_labels(options, folders)
        print(f"{folders.first_model} is trained.")
    else:
        _train_model(source, options.trainer, folders.first_model, options)
    print_heading(f"2/5  It predicts {len(folders.cases.unlabeled)} unlabeled scans")
    _predict_unlabeled(options, folders)
    print_heading(f"3/5  {target}: the labeled cases, and the unlabeled ones with these predictions as labels")
    line = ["nnunetv2_dycon", "pseudo-label", "-d", source, "-i", str(folders.predictions), "-o", target]
    print(f"$ {shlex.join([*line, '--copy'] if options.copy else line)}", flush=True)
    dataset = add_pseudo_labels(source, folders.predictions, target, link=not options.copy)
    print_heading(f"4/5  {target} gets the same plans and is preprocessed")
    _preprocess_target(options, folders, dataset)
    print_heading(f"5/5  Second model, from scratch, on {target}")
    _train_model(target, options.last_trainer, folders.second_model, options)
    return folders.second_model


def check_self_training(options: SelfTrainingOptions) -> SelfTrainingFolders:
    """Check all that can be checked before hours of training; a UserError names what is wrong."""
    source_raw = existing_dataset_folder(options.dataset)
    source = read_planned_dataset(source_raw.name, options.plans)
    configuration = source.configuration(options.configuration)
    if configuration.previous_stage_name is not None:
        raise UnsupportedFeatureError("self-training does not support cascades: choose 3d_fullres or 3d_lowres")
    cases = read_source_cases(source_raw)
    refuse_hidden_files(source_raw / UNLABELED_FOLDER_NAME, cases.labeled.file_ending)
    _check_fold(options.fold, source.splits_file, sorted(cases.labeled.training))
    find_trainer(options.trainer)
    if issubclass(find_trainer(options.last_trainer), nnUNetTrainerSemiSupervised):
        raise UserError(
            f"{options.last_trainer} needs unlabeled scans, and the dataset of the second model has none left: choose "
            "its trainer with -tr2, such as -tr2 nnUNetTrainer"
        )
    if options.device == "cuda" and not torch.cuda.is_available():
        raise UserError("PyTorch finds no CUDA GPU: give -device cpu")
    if options.num_processes is not None and options.num_processes < 1:
        raise UserError(f"-np must be at least 1, not {options.num_processes}")
    name = pseudo_labeled_dataset_name(source.name, options.output)
    target_raw, target_preprocessed = raw_folder() / name, source.folder.with_name(name)
    models = (_fold_folder(source.name, options.trainer, options), _fold_folder(name, options.last_trainer, options))
    folders = SelfTrainingFolders(source, cases, target_raw, target_preprocessed, *models)
    for stage in _configurations_of_data(source, options.configuration):
        data_folder = source.folder / source.configuration(stage).data_identifier
        if not _is_trained(folders.first_model) and not data_folder.is_dir():
            raise UserError(
                f"{data_folder} is not there: preprocess the dataset first, with nnUNetv2_preprocess -d "
                f"{dataset_id(source.name)} -plans_name {options.plans} -c {stage}"
            )
    if not _is_trained(folders.first_model) and (changed := _changed_labels(options, folders)):
        raise UserError(f"{changed}.")
    _check_target(folders)
    return folders


def _check_fold(fold: str, splits_file: Path, labeled: list[str]) -> None:
    splits = read_source_splits(splits_file, labeled)
    if fold not in ("all", *map(str, range(len(splits)))):
        reason = f"{splits_file} has {len(splits)} folds" if splits else f"{len(labeled)} labeled cases make no folds"
        raise UserError(f"there is no fold {fold}, since {reason}: choose another one with -f, or -f all")


def _configurations_of_data(dataset: PlannedDataset, configuration: str) -> list[str]:
    """The configurations whose data a training reads: nnU-Net's validation of 3d_lowres looks at the next stage's."""
    return [configuration, *(dataset.configuration(configuration).next_stage_names or [])]


def _check_target(folders: SelfTrainingFolders) -> None:
    name = folders.target_raw.name
    if folders.target_raw.exists():
        origin = read_record(folders.target_raw)["predictions"]
        if origin != origin_of_predictions(folders.predictions):
            raise UserError(
                f"{folders.target_raw} was made from {origin}, not from the model asked for. Its pseudo-labels come "
                "from one fold of one model: choose another ID or name with -o"
            )
    elif folders.target_preprocessed.exists() or folders.second_model.exists():
        raise UserError(
            f"there are preprocessed data or results of {name}, but {folders.target_raw} is not there: choose another "
            "ID or name with -o, or remove them"
        )


def _fold_folder(dataset_name: str, trainer: str, options: SelfTrainingOptions) -> Path:
    model = convert_trainer_plans_config_to_identifier(trainer, options.plans, options.configuration)
    return results_folder() / dataset_name / model / f"fold_{options.fold}"


def _is_trained(fold_folder: Path) -> bool:
    return (fold_folder / FINAL_CHECKPOINT).is_file()


def _changed_labels(options: SelfTrainingOptions, folders: SelfTrainingFolders) -> str | None:
    """A sentence on labels that are not those which nnUNetv2_preprocess took last; None without such."""
    source = folders.source
    data_folder = source.folder / source.configuration(options.configuration).data_identifier
    copies, older = source.folder / "gt_segmentations", []
    changed = []
    for case, labels in sorted(folders.cases.labeled.training.items()):
        copy = copies / f"{case}{folders.cases.labeled.file_ending}"
        label_time, copy_time = labels.label.stat().st_mtime, _time_of(copy)
        if copy.is_file() and filecmp.cmp(labels.label, copy, shallow=False):
            # A copy has the time of its label. Another configuration may have been preprocessed since.
            if min(label_time, copy_time) <= _time_of(data_folder / f"{case}.pkl"):
                continue
        elif int(label_time) <= int(copy_time):
            # nnU-Net replaces a copy by a file that is newer by whole seconds only.
            older.append(copy.name)
        changed.append(case)
    if not changed:
        return None
    command = preprocessing_command(source.name, options.configuration, options.plans)
    first = f"remove {', '.join(older)} in {copies}, newer than the label in its place, then " if older else ""
    return f"{listed(changed)}: the label has changed since it was preprocessed; {first}run {command}"


def _warn_of_later_labels(options: SelfTrainingOptions, folders: SelfTrainingFolders) -> None:
    """Tell of labels from which the first model, which is trained, may not have learnt."""
    source = folders.source
    data_folder = source.folder / source.configuration(options.configuration).data_identifier
    trained = _time_of(folders.first_model / FINAL_CHECKPOINT)
    if changed := _changed_labels(options, folders):
        again = f"remove {folders.first_model}, and start again with a new -o"
        print(f"WARNING: {changed}. To train the first model on the labels as they are, then {again}.")
    labeled = sorted(folders.cases.labeled.training)
    if later := [case for case in labeled if _time_of(data_folder / f"{case}.pkl") > trained]:
        print(
            f"WARNING: {listed(later)}: preprocessed after the first model was trained. If the labels have changed, "
            f"remove {folders.first_model} to train it on them, and start again, with a new -o."
        )


def _time_of(file: Path) -> float:
    return file.stat().st_mtime if file.exists() else 0.0


def _train_model(dataset_name: str, trainer: str, fold_folder: Path, options: SelfTrainingOptions) -> None:
    """Train with nnUNetv2_train, go on with a training that was interrupted, or leave a trained model as it is."""
    arguments = [dataset_name, options.configuration, options.fold, "-tr", trainer, "-p", options.plans]
    arguments += ["-device", options.device]
    if _is_trained(fold_folder):
        if (fold_folder / "validation" / "summary.json").is_file():
            print(f"{fold_folder} is trained.")
            return
        arguments.append("--val")
    elif any((fold_folder / f"checkpoint_{name}.pth").is_file() for name in ("latest", "best")):
        arguments.append("--c")
    run_nnunet_command("nnUNetv2_train", *arguments, environment=os.environ)


def _predict_unlabeled(options: SelfTrainingOptions, folders: SelfTrainingFolders) -> None:
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
    arguments = ["-d", folders.source.name, "-c", options.configuration, "-f", options.fold]
    arguments += ["-tr", options.trainer, "-p", options.plans, "-device", options.device]
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


def _refuse_other_predictions(options: SelfTrainingOptions, folders: SelfTrainingFolders) -> None:
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
            f"({', '.join(different)} differ): remove that folder to predict again"
        )


def _preprocess_target(
    options: SelfTrainingOptions, folders: SelfTrainingFolders, dataset: PseudoLabeledDataset
) -> None:
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
    configurations = _configurations_of_data(folders.source, options.configuration)
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
