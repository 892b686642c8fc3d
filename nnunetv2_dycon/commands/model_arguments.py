"""Options of commands that read a trained model, and of those that predict with it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from nnunetv2_dycon.uncertainty.predict_uncertainty import PredictionOptions


def add_model_arguments(parser: argparse.ArgumentParser, *, folder_in_place_of: str | None = None) -> None:
    """Declare the options that name a model of a dataset: configuration, plans, trainer, folds and checkpoint.

    Args:
        parser: of the command.
        folder_in_place_of: the options that the model's folder, ``-m``, may replace; None: there is no such option.
    """
    parser.add_argument("-c", default="3d_fullres", metavar="CONFIGURATION", help="configuration (default: 3d_fullres)")
    parser.add_argument("-p", default="nnUNetPlans", metavar="PLANS", help="plans identifier (default: nnUNetPlans)")
    parser.add_argument(
        "-tr", default="nnUNetTrainerDyCON", metavar="TRAINER", help="trainer (default: nnUNetTrainerDyCON)"
    )
    if folder_in_place_of is not None:
        parser.add_argument(
            "-m", type=Path, metavar="MODEL_FOLDER", help=f"folder of the model, in place of {folder_in_place_of}"
        )
    parser.add_argument(
        "-f", nargs="+", default=[], metavar="FOLD", help="folds (default: all that have been trained to the end)"
    )
    parser.add_argument(
        "-chk", default="checkpoint_final.pth", metavar="FILE", help="checkpoint (default: checkpoint_final.pth)"
    )


def add_prediction_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare those options of nnUNetv2_predict that all commands have which predict."""
    parser.add_argument(
        "-step_size", type=float, default=0.5, metavar="SIZE", help="step of the sliding window (default: 0.5)"
    )
    parser.add_argument("--disable_tta", action="store_true", help="do not predict mirrored scans too")
    parser.add_argument("--continue_prediction", action="store_true", help="leave cases alone that are done")
    parser.add_argument("-npp", type=int, default=3, metavar="N", help="processes for preprocessing (default: 3)")
    parser.add_argument(
        "-device", choices=("cuda", "cpu", "mps"), default="cuda", help="where to predict (default: cuda)"
    )


def model_folder_of(arguments: argparse.Namespace) -> Path:
    """The folder in nnUNet_results of the model that ``-d``, ``-c``, ``-p`` and ``-tr`` name; it may not be there.

    Raises:
        UserError: when there is no such dataset, or nnUNet_results is not set.
    """
    from nnunetv2.utilities.file_path_utilities import convert_trainer_plans_config_to_identifier

    from nnunetv2_dycon.datasets.names import dataset_name_of, results_folder

    model = convert_trainer_plans_config_to_identifier(arguments.tr, arguments.p, arguments.c)
    return results_folder() / dataset_name_of(arguments.d) / model


def prediction_options_of(arguments: argparse.Namespace, previous_stage: Path | None = None) -> PredictionOptions:
    """The options of :func:`add_prediction_arguments`, checked.

    Args:
        arguments: of the command.
        previous_stage: in a cascade the folder with the segmentations of the previous stage.

    Raises:
        UserError: for a value out of range, and a device that is not there.
    """
    import torch

    from nnunetv2_dycon.exceptions import UserError
    from nnunetv2_dycon.training.checks import refuse_missing_device
    from nnunetv2_dycon.uncertainty.predict_uncertainty import PredictionOptions

    if arguments.npp < 1:
        raise UserError(f"-npp must be at least 1, not {arguments.npp}.")
    if not 0 < arguments.step_size <= 1:
        raise UserError(f"-step_size must be above 0 and at most 1, not {arguments.step_size}.")
    device = torch.device(arguments.device)
    refuse_missing_device(device)
    return PredictionOptions(
        device,
        use_mirroring=not arguments.disable_tta,
        step_size=arguments.step_size,
        previous_stage=previous_stage,
        continue_prediction=arguments.continue_prediction,
        num_processes=arguments.npp,
    )


def set_number_of_threads(device: torch.device) -> None:
    """Have torch use as many CPU threads as in nnUNetv2_predict: all cores where they predict, else one."""
    import multiprocessing

    import torch

    torch.set_num_threads(multiprocessing.cpu_count() if device.type == "cpu" else 1)
