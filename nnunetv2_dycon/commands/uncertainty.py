"""``nnunetv2_dycon uncertainty``: predictions, and how far to trust them."""

from __future__ import annotations

import argparse
from pathlib import Path

NAME = "uncertainty"
HELP = "predict scans, with maps of uncertainty and an expected Dice for each structure"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Predicts as nnUNetv2_predict does, and writes beside the segmentations: the entropy of the mean prediction "
        "of folds and mirrored scans, their mutual information, a table with volume, entropy and expected Dice of each "
        "structure, and pictures of the least certain slices. Takes models of this package and of nnU-Net's trainers."
    )
    parser.add_argument("-i", required=True, type=Path, metavar="INPUT", help="folder with the scans, CASE_0000.nii.gz")
    parser.add_argument("-o", required=True, type=Path, metavar="OUTPUT", help="folder to write")
    parser.add_argument("-d", metavar="DATASET", help="dataset ID or name, e.g. 501")
    parser.add_argument("-c", default="3d_fullres", metavar="CONFIGURATION", help="configuration (default: 3d_fullres)")
    parser.add_argument("-p", default="nnUNetPlans", metavar="PLANS", help="plans identifier (default: nnUNetPlans)")
    parser.add_argument(
        "-tr", default="nnUNetTrainerDyCON", metavar="TRAINER", help="trainer (default: nnUNetTrainerDyCON)"
    )
    parser.add_argument(
        "-m", type=Path, metavar="MODEL_FOLDER", help="folder of the model, in place of -d, -c, -p and -tr"
    )
    parser.add_argument(
        "-f", nargs="+", default=[], metavar="FOLD", help="folds (default: all that have been trained to the end)"
    )
    parser.add_argument(
        "-chk", default="checkpoint_final.pth", metavar="FILE", help="checkpoint (default: checkpoint_final.pth)"
    )
    parser.add_argument(
        "-step_size", type=float, default=0.5, metavar="SIZE", help="step of the sliding window (default: 0.5)"
    )
    parser.add_argument("--disable_tta", action="store_true", help="do not predict mirrored scans too")
    parser.add_argument("--continue_prediction", action="store_true", help="leave cases alone that are done")
    parser.add_argument(
        "-prev_stage_predictions", type=Path, metavar="FOLDER", help="cascades: predictions of the previous stage"
    )
    parser.add_argument("-npp", type=int, default=3, metavar="N", help="processes for preprocessing (default: 3)")
    parser.add_argument(
        "-device", choices=("cuda", "cpu", "mps"), default="cuda", help="where to predict (default: cuda)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Predict."""
    import multiprocessing

    import torch

    from nnunetv2_dycon.exceptions import UserError
    from nnunetv2_dycon.training.checks import refuse_missing_device
    from nnunetv2_dycon.uncertainty.inputs import find_scans, read_model
    from nnunetv2_dycon.uncertainty.predict_uncertainty import TABLE, PredictionOptions, predict_uncertainty

    if arguments.npp < 1:
        raise UserError(f"-npp must be at least 1, not {arguments.npp}.")
    if not 0 < arguments.step_size <= 1:
        raise UserError(f"-step_size must be above 0 and at most 1, not {arguments.step_size}.")
    device = torch.device(arguments.device)
    refuse_missing_device(device)
    model = read_model(_model_folder(arguments), arguments.f, arguments.chk)
    scans = find_scans(arguments.i, model, arguments.prev_stage_predictions)
    # As nnUNetv2_predict does it.
    torch.set_num_threads(multiprocessing.cpu_count() if device.type == "cpu" else 1)
    options = PredictionOptions(
        device,
        use_mirroring=not arguments.disable_tta,
        step_size=arguments.step_size,
        previous_stage=arguments.prev_stage_predictions,
        continue_prediction=arguments.continue_prediction,
        num_processes=arguments.npp,
    )
    predict_uncertainty(model, scans, arguments.o, options)
    print(f"{arguments.o}: segmentations, entropy, pictures and {TABLE} of {len(scans)} cases.")


def _model_folder(arguments: argparse.Namespace) -> Path:
    from nnunetv2.utilities.file_path_utilities import convert_trainer_plans_config_to_identifier

    from nnunetv2_dycon.datasets.names import dataset_name_of, results_folder
    from nnunetv2_dycon.exceptions import UserError

    if (arguments.d is None) == (arguments.m is None):
        raise UserError("Name the model: either by its dataset, -d with -c, -p and -tr, or by its folder, -m.")
    if arguments.m is not None:
        return Path(arguments.m)
    model = convert_trainer_plans_config_to_identifier(arguments.tr, arguments.p, arguments.c)
    return results_folder() / dataset_name_of(arguments.d) / model
