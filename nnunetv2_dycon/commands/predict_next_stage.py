"""``nnunetv2_dycon predict-next-stage``: the unlabeled cases of a cascade, by its low-resolution model."""

from __future__ import annotations

import argparse

from nnunetv2_dycon.commands.shared_arguments import (
    add_configuration_argument,
    add_dataset_argument,
    add_device_argument,
    add_fold_argument,
    add_plans_argument,
    add_processes_argument,
    add_trainer_argument,
)

NAME = "predict-next-stage"
HELP = "cascades: predict the unlabeled scans with the low-resolution model, for the next stage"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Predicts the unlabeled scans with the low-resolution model of a fold, as the next stage of the cascade needs "
        "them. Training 3d_cascade_fullres does it by itself at its start; this is for doing it ahead of time, or on "
        "another machine. Cases that are done are skipped, and a run that was killed is continued."
    )
    add_dataset_argument(parser)
    add_configuration_argument(parser, "3d_lowres")
    add_trainer_argument(parser)
    add_plans_argument(parser)
    add_fold_argument(parser)
    add_device_argument(parser)
    add_processes_argument(parser, "preprocessing and resampling")


def run(arguments: argparse.Namespace) -> None:
    """Predict what is not predicted."""
    import torch

    from nnunetv2_dycon.datasets.planned_dataset import read_planned_dataset
    from nnunetv2_dycon.datasets.splits import off_limits_cases, read_splits, validation_only
    from nnunetv2_dycon.exceptions import UserError
    from nnunetv2_dycon.preprocessing.prepare_unlabeled_data import prepare_unlabeled_data
    from nnunetv2_dycon.training.checks import refuse_missing_device
    from nnunetv2_dycon.training.find_trainer import find_semi_supervised_trainer
    from nnunetv2_dycon.training.predict_next_stage import predict_next_stage
    from nnunetv2_dycon.training.previous_stage import PreviousStage

    if arguments.np < 1:
        raise UserError(f"-np must be at least 1, not {arguments.np}.")
    if arguments.f != "all" and not arguments.f.isdecimal():
        raise UserError(f"-f must be a number or all, not {arguments.f}.")
    refuse_missing_device(torch.device(arguments.device))
    dataset = read_planned_dataset(arguments.d, arguments.p, arguments.c)
    next_stages = dataset.configuration(arguments.c).next_stage_names
    if not next_stages:
        raise UserError(f"{arguments.c} of {dataset.plans_file} has no next stage: only a cascade needs predictions.")
    fold = arguments.f if arguments.f == "all" else int(arguments.f)
    off_limits = off_limits_cases(dataset.splits_file, fold)
    held_back = set(off_limits)
    # Of a fold that nnU-Net draws, the training alone knows the validation cases.
    for split in [] if fold == "all" else read_splits(dataset.splits_file)[fold : fold + 1]:
        held_back |= validation_only(split["train"], split["val"])
    trainer_class = find_semi_supervised_trainer(arguments.tr)
    for name in next_stages:
        managers = (dataset.plans_manager, dataset.configuration(name))
        stage = PreviousStage(
            trainer_class, dataset.plans_manager, dataset.dataset_json, arguments.c, next_stage=name, fold=fold
        )
        stage.refuse_missing_checkpoint()
        stage.refuse_learnt_labels(stage.learnt_by(stage.checkpoint), held_back, dataset.splits_file)
        data = prepare_unlabeled_data(*managers, dataset.dataset_json, off_limits, arguments.np)
        predict_next_stage(stage, data, off_limits, torch.device(arguments.device), arguments.np)
        print(f"{name}: {len(data.identifiers)} unlabeled cases are predicted in {stage.unlabeled_predictions}.")
