"""``nnunetv2_dycon export``: a model for machines without this package."""

from __future__ import annotations

import argparse
from pathlib import Path

from nnunetv2_dycon.commands.model_arguments import add_checkpoint_argument, add_model_arguments, model_folder_of
from nnunetv2_dycon.commands.shared_arguments import add_dataset_argument

NAME = "export"
HELP = "export a trained model for machines with a stock nnU-Net, without this package"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Exports a trained model so that a stock nnU-Net, without this package, gives the same predictions. A name "
        "that ends in .zip makes a file for nnUNetv2_install_pretrained_model_from_zip, any other a folder for "
        "nnUNetv2_predict_from_modelfolder -m."
    )
    add_dataset_argument(parser)
    add_model_arguments(parser, default_folds="every one that has the checkpoint")
    parser.add_argument(
        "-o", required=True, type=Path, metavar="FILE_OR_FOLDER", help="the file (.zip) or folder to write"
    )
    add_checkpoint_argument(parser)


def run(arguments: argparse.Namespace) -> None:
    """Export."""
    from nnunetv2_dycon.model_export import export_model, previous_stage_name

    model_folder = model_folder_of(arguments)
    export_model(model_folder, arguments.o, arguments.f, arguments.chk)
    print(f"Exported {model_folder} to {arguments.o}.")
    if arguments.o.suffix == ".zip":
        print(
            "Installed where a plain nnU-Net of the same dataset, plans and configuration is, it replaces that model."
        )
    if stage := previous_stage_name(model_folder):
        print(f"It predicts with the predictions of {stage} (-prev_stage_predictions): export that model too.")
