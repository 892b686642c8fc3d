"""``nnunetv2_dycon compare``: trainers side by side on their validation folds."""

from __future__ import annotations

import argparse
from pathlib import Path

from nnunetv2_dycon.commands.shared_arguments import (
    add_configuration_argument,
    add_dataset_argument,
    add_folds_argument,
    add_plans_argument,
)

NAME = "compare"
HELP = "compare trainers on the validation cases of their folds"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Compares trained models on the validation cases of their folds, from the summary.json that nnU-Net writes at "
        "the end of a training: Dice of each class, the paired difference to the first trainer with its interval, "
        "cases won and lost, and the worst cases by name. With -o also as text, CSV, PNG and one HTML file."
    )
    add_dataset_argument(parser)
    add_configuration_argument(parser)
    parser.add_argument(
        "-tr",
        nargs="+",
        action="extend",
        metavar="TRAINER",
        help="trainers, the reference first; a model of other plans or of another configuration by the name of its "
        "folder, TRAINER__PLANS__CONFIGURATION; one of another dataset after that and a slash, such as "
        "502/nnUNetTrainer of self-training (default: nnUNetTrainer nnUNetTrainerDyCON)",
    )
    add_plans_argument(parser)
    add_folds_argument(parser, "every one that all trainers have validated", what="numbers only")
    parser.add_argument("-o", type=Path, metavar="FOLDER", help="folder to write the reports into (default: none)")


def run(arguments: argparse.Namespace) -> None:
    """Compare and print."""
    from nnunetv2_dycon.comparison.compare import compare_models
    from nnunetv2_dycon.comparison.models import find_models
    from nnunetv2_dycon.comparison.report import text_report, write_reports
    from nnunetv2_dycon.datasets.names import dataset_name_of

    dataset = dataset_name_of(arguments.d)
    trainers = arguments.tr or ["nnUNetTrainer", "nnUNetTrainerDyCON"]
    models = find_models(trainers, dataset, arguments.c, arguments.p)
    title = ", ".join(dict.fromkeys(folder.parent.name for folder in models.values()))
    comparison = compare_models(title, models, arguments.f)
    if arguments.o is not None:
        write_reports(comparison, arguments.o)
    print(text_report(comparison))
    if arguments.o is not None:
        print(f"\nReports: {arguments.o / 'comparison.html'} and .txt, .csv, .png beside it.")
