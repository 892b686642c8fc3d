"""``nnunetv2_dycon uncertainty``: predictions, and how far to trust them."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from nnunetv2_dycon.commands.model_arguments import (
    add_checkpoint_argument,
    add_model_arguments,
    add_model_folder_argument,
    add_prediction_arguments,
    model_folder_of,
    prediction_options_of,
    set_number_of_threads,
)
from nnunetv2_dycon.commands.shared_arguments import DATASET_HELP

NAME = "uncertainty"
HELP = "predict scans, with maps of uncertainty and an expected Dice for each structure"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Predicts as nnUNetv2_predict does, and writes beside the segmentations: the entropy of the mean prediction "
        "of folds and mirrored scans, their mutual information, a table with volume, entropy and expected Dice of each "
        "structure, and pictures of the least certain slices. Takes models of this package and of nnU-Net's trainers."
    )
    parser.add_argument("-d", metavar="DATASET", help=f"{DATASET_HELP}; required without -m")
    add_model_arguments(parser)
    parser.add_argument(
        "-i", required=True, type=Path, metavar="FOLDER", help="folder with the scans, CASE_0000.nii.gz"
    )
    parser.add_argument("-o", required=True, type=Path, metavar="FOLDER", help="folder to write")
    add_model_folder_argument(parser, in_place_of="-d, -c, -tr and -p")
    add_checkpoint_argument(parser)
    parser.add_argument(
        "-prev_stage_predictions", type=Path, metavar="FOLDER", help="cascades: predictions of the previous stage"
    )
    parser.add_argument(
        "--table_only",
        action="store_true",
        help="segmentations and the table of nnU-Net's mean prediction, without maps and pictures; the network runs as "
        "often as in nnUNetv2_predict",
    )
    add_prediction_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Predict."""
    from nnunetv2_dycon.exceptions import UserError
    from nnunetv2_dycon.uncertainty.inputs import find_scans, read_model
    from nnunetv2_dycon.uncertainty.predict_uncertainty import predict_uncertainty
    from nnunetv2_dycon.uncertainty.table import TABLE

    if arguments.o.resolve() == arguments.i.resolve():
        raise UserError(f"-i and -o are both {arguments.o}: name another folder after -o.")
    options = prediction_options_of(arguments, arguments.prev_stage_predictions)
    options = replace(options, table_only=arguments.table_only)
    model = read_model(_model_folder(arguments), arguments.f, arguments.chk)
    scans = find_scans(arguments.i, model, arguments.prev_stage_predictions)
    set_number_of_threads(options.device)
    written = predict_uncertainty(model, scans, arguments.o, options)
    print(f"{arguments.o}: {', '.join(written)} and {TABLE} of {len(scans)} cases.")


def _model_folder(arguments: argparse.Namespace) -> Path:
    from nnunetv2_dycon.exceptions import UserError

    if (arguments.d is None) == (arguments.m is None):
        raise UserError("Name the model: either by its dataset, -d with -c, -p and -tr, or by its folder, -m.")
    return model_folder_of(arguments) if arguments.m is None else Path(arguments.m)
