"""``nnunetv2_dycon pseudo-label``: the step of self-training that nnU-Net has no command for."""

from __future__ import annotations

import argparse
from pathlib import Path

NAME = "pseudo-label"
HELP = "make a dataset in which predictions are the labels of the unlabeled scans (a step of self-train)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Makes a new dataset in nnUNet_raw: the labeled cases, and the scans of imagesUnlabeled with predictions as "
        "their labels. Its folds keep the validation cases of the old ones; pseudo-labeled cases are for training only."
    )
    parser.add_argument("-d", required=True, metavar="DATASET", help="dataset ID or name, e.g. 501")
    parser.add_argument(
        "-i",
        required=True,
        type=Path,
        metavar="PREDICTIONS",
        help="folder that nnUNetv2_predict made of imagesUnlabeled",
    )
    parser.add_argument("-o", required=True, metavar="OUTPUT", help="ID (502) or name of the new dataset")
    parser.add_argument("--copy", action="store_true", help="copy images and labels; default: symbolic links to them")


def run(arguments: argparse.Namespace) -> None:
    """Make the dataset."""
    from nnunetv2_dycon.self_training.pseudo_labeled_dataset import add_pseudo_labels

    dataset = add_pseudo_labels(arguments.d, arguments.i, arguments.o, link=not arguments.copy)
    print(f"{dataset.folder}: {len(dataset.labeled)} labeled and {len(dataset.pseudo_labeled)} pseudo-labeled cases.")
