"""``nnunetv2_dycon pseudo-label``: the step of self-training that nnU-Net has no command for."""

from __future__ import annotations

import argparse
from pathlib import Path

from nnunetv2_dycon.commands.shared_arguments import (
    add_all_components_argument,
    add_copy_argument,
    add_dataset_argument,
    add_new_dataset_argument,
)

NAME = "pseudo-label"
HELP = "make a dataset in which predictions are the labels of the unlabeled scans (a step of self-train)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Makes a new dataset in nnUNet_raw: the labeled cases, and the scans of imagesUnlabeled with predictions as "
        "their labels. Its folds keep the validation cases of the old ones; pseudo-labeled cases are for training only."
    )
    add_dataset_argument(parser)
    parser.add_argument(
        "-i",
        required=True,
        type=Path,
        metavar="FOLDER",
        help="folder that nnUNetv2_predict made of imagesUnlabeled",
    )
    add_new_dataset_argument(parser)
    add_all_components_argument(parser)
    add_copy_argument(parser)


def run(arguments: argparse.Namespace) -> None:
    """Make the dataset."""
    from nnunetv2_dycon.self_training.pseudo_labeled_dataset import add_pseudo_labels
    from nnunetv2_dycon.self_training.report import report_predictions

    dataset = add_pseudo_labels(
        arguments.d, arguments.i, arguments.o, link=not arguments.copy, all_components=arguments.all_components
    )
    print(f"{dataset.folder}: {len(dataset.labeled)} labeled and {len(dataset.pseudo_labeled)} pseudo-labeled cases.")
    report_predictions(dataset)
