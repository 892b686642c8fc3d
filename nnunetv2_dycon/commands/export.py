"""``nnunetv2_dycon export``: a model for machines without this package."""

from __future__ import annotations

import argparse
from pathlib import Path

NAME = "export"
HELP = "export a trained model for machines with a stock nnU-Net, without this package"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Exports a trained model so that a stock nnU-Net, without this package, gives the same predictions. A name "
        "that ends in .zip makes a file for nnUNetv2_install_pretrained_model_from_zip, any other a folder for "
        "nnUNetv2_predict_from_modelfolder -m."
    )
    parser.add_argument("-d", required=True, metavar="DATASET", help="dataset ID or name, e.g. 501")
    parser.add_argument("-o", required=True, type=Path, metavar="OUTPUT", help="the file (.zip) or folder to write")
    parser.add_argument("-c", default="3d_fullres", metavar="CONFIGURATION", help="configuration (default: 3d_fullres)")
    parser.add_argument("-p", default="nnUNetPlans", metavar="PLANS", help="plans identifier (default: nnUNetPlans)")
    parser.add_argument(
        "-tr", default="nnUNetTrainerDyCON", metavar="TRAINER", help="trainer (default: nnUNetTrainerDyCON)"
    )
    parser.add_argument(
        "-f", nargs="+", default=[], metavar="FOLD", help="folds (default: all that have been trained to the end)"
    )
    parser.add_argument(
        "-chk", default="checkpoint_final.pth", metavar="FILE", help="checkpoint (default: checkpoint_final.pth)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Export."""
    from nnunetv2.utilities.file_path_utilities import convert_trainer_plans_config_to_identifier

    from nnunetv2_dycon.datasets.names import dataset_name_of, results_folder
    from nnunetv2_dycon.model_export import export_model, previous_stage_name

    model = convert_trainer_plans_config_to_identifier(arguments.tr, arguments.p, arguments.c)
    model_folder = results_folder() / dataset_name_of(arguments.d) / model
    export_model(model_folder, arguments.o, arguments.f, arguments.chk)
    print(f"Exported {model_folder} to {arguments.o}.")
    if stage := previous_stage_name(model_folder):
        print(f"It predicts with the predictions of {stage} (-prev_stage_predictions): export that model too.")
