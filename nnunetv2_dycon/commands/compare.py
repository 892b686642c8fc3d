"""``nnunetv2_dycon compare``: trainers side by side on their validation folds."""

from __future__ import annotations

import argparse
from pathlib import Path

NAME = "compare"
HELP = "compare trainers on the validation cases of their folds"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Compares trained models on the validation cases of their folds, from the summary.json that nnU-Net writes at "
        "the end of a training: Dice of each class, the paired difference to the first trainer with its interval, "
        "cases won and lost, and the worst cases by name. With -o also as text, CSV, PNG and one HTML file."
    )
    parser.add_argument("-d", required=True, metavar="DATASET", help="dataset ID or name, e.g. 501")
    parser.add_argument("-c", default="3d_fullres", metavar="CONFIGURATION", help="configuration (default: 3d_fullres)")
    parser.add_argument("-p", default="nnUNetPlans", metavar="PLANS", help="plans identifier (default: nnUNetPlans)")
    parser.add_argument(
        "-tr",
        nargs="+",
        default=["nnUNetTrainer", "nnUNetTrainerDyCON"],
        metavar="TRAINER",
        help="trainers, the reference first; a model of other plans or of another configuration by the name of its "
        "folder, TRAINER__PLANS__CONFIGURATION (default: nnUNetTrainer nnUNetTrainerDyCON)",
    )
    parser.add_argument(
        "-f", nargs="+", default=[], metavar="FOLD", help="folds (default: all that every trainer has validated)"
    )
    parser.add_argument("-o", type=Path, metavar="FOLDER", help="write the reports into this folder")


def run(arguments: argparse.Namespace) -> None:
    """Compare and print."""
    from nnunetv2.utilities.file_path_utilities import convert_trainer_plans_config_to_identifier

    from nnunetv2_dycon.comparison.compare import compare_models
    from nnunetv2_dycon.comparison.report import text_report, write_reports
    from nnunetv2_dycon.datasets.names import dataset_name_of, results_folder

    dataset = dataset_name_of(arguments.d)
    folders = {}
    for name in arguments.tr:
        identifier = name
        if "__" not in name:
            identifier = convert_trainer_plans_config_to_identifier(name, arguments.p, arguments.c)
        folders[name] = results_folder() / dataset / identifier
    comparison = compare_models(dataset, folders, arguments.f)
    print(text_report(comparison))
    if arguments.o is not None:
        write_reports(comparison, arguments.o)
        print(f"\nReports: {arguments.o / 'comparison.html'} and .txt, .csv, .png beside it.")
