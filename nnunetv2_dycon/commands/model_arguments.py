"""Options of commands that read a trained model, and of those that predict with it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from nnunetv2_dycon.commands.shared_arguments import (
    add_configuration_argument,
    add_device_argument,
    add_folds_argument,
    add_mirroring_argument,
    add_plans_argument,
    add_trainer_argument,
)

if TYPE_CHECKING:
    import torch

    from nnunetv2_dycon.uncertainty.predict_uncertainty import PredictionOptions


def add_model_arguments(
    parser: argparse.ArgumentParser, *, default_folds: str = "every numbered one that has the checkpoint"
) -> None:
    """Declare the options after ``-d`` that name a model of a dataset: configuration, trainer, plans and folds.

    Args:
        parser: of the command.
        default_folds: which folds are taken without ``-f``, in words.
    """
    add_configuration_argument(parser)
    add_trainer_argument(parser)
    add_plans_argument(parser)
    add_folds_argument(parser, default_folds)


def add_model_folder_argument(parser: argparse.ArgumentParser, *, in_place_of: str) -> None:
    """Declare ``-m``.

    Args:
        parser: of the command.
        in_place_of: the options that the folder replaces.
    """
    parser.add_argument("-m", type=Path, metavar="FOLDER", help=f"in place of {in_place_of}, folder of the model")


def add_checkpoint_argument(parser: argparse.ArgumentParser) -> None:
    """Declare ``-chk``."""
    parser.add_argument(
        "-chk", default="checkpoint_final.pth", metavar="FILE", help="checkpoint (default: checkpoint_final.pth)"
    )


def add_prediction_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare those options of nnUNetv2_predict that all commands have which predict."""
    parser.add_argument(
        "-step_size", type=float, default=0.5, metavar="SIZE", help="step of the sliding window (default: 0.5)"
    )
    add_mirroring_argument(parser)
    parser.add_argument("--continue_prediction", action="store_true", help="leave cases alone that are done")
    add_device_argument(parser)
    parser.add_argument("-npp", type=int, default=3, metavar="N", help="processes for preprocessing (default: 3)")


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
