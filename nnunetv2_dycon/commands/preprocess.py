"""``nnunetv2_dycon preprocess``: preprocess unlabeled scans ahead of training."""

from __future__ import annotations

import argparse

from nnunetv2_dycon.commands.shared_arguments import (
    add_configurations_argument,
    add_dataset_argument,
    add_plans_argument,
    add_processes_argument,
)

NAME = "preprocess"
HELP = "preprocess the scans of imagesUnlabeled ahead of training"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Preprocesses the scans of imagesUnlabeled ahead of training. Training does it by itself; this is for machines "
        "with more CPU cores. Cases that are done are skipped, and a run that was killed is continued."
    )
    add_dataset_argument(parser)
    add_configurations_argument(parser)
    add_plans_argument(parser)
    add_processes_argument(parser, "preprocessing")


def run(arguments: argparse.Namespace) -> None:
    """Preprocess."""
    from nnunetv2_dycon.datasets.planned_dataset import read_planned_dataset
    from nnunetv2_dycon.datasets.splits import off_limits_cases_of_all_folds
    from nnunetv2_dycon.exceptions import UserError
    from nnunetv2_dycon.preprocessing.prepare_unlabeled_data import prepare_unlabeled_data

    if arguments.np < 1:
        raise UserError(f"-np must be at least 1, not {arguments.np}.")
    dataset = read_planned_dataset(arguments.d, arguments.p, *arguments.c)
    off_limits = off_limits_cases_of_all_folds(dataset.splits_file)
    # The second stage of a cascade starts with what the first one predicts of the same scans.
    stages = [stage for name in arguments.c for stage in (dataset.configuration(name).previous_stage_name, name)]
    for name in dict.fromkeys(stage for stage in stages if stage is not None):
        configuration = dataset.configuration(name)
        data = prepare_unlabeled_data(
            dataset.plans_manager,
            configuration,
            dataset.dataset_json,
            off_limits,
            arguments.np,
            may_be_none=dataset.has_ignore_label,
        )
        if data.identifiers:
            print(f"{name}: {len(data.identifiers)} unlabeled cases are ready in {data.folder}.")
        else:
            print(
                f"{name}: no unlabeled scans. A training looks for ignored voxels of its labeled cases, which nnU-Net "
                "preprocesses, and needs some then."
            )
