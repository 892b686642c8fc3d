"""``nnunetv2_dycon plan``: plans with other settings."""

from __future__ import annotations

import argparse

NAME = "plan"
HELP = "write plans of a new name with other settings, so that results of different settings never share a folder"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Writes plans of a new name with other settings of a semi-supervised trainer. Train with them by "
        "nnUNetv2_train ... -p NAME; nothing has to be preprocessed again. Without settings, lists all settings."
    )
    parser.add_argument("settings", nargs="*", metavar="NAME=VALUE", help="settings to change, e.g. uncl_weight=2")
    parser.add_argument("-d", metavar="DATASET", help="dataset ID or name, e.g. 501")
    parser.add_argument(
        "-c", nargs="+", default=["3d_fullres"], metavar="CONFIGURATION", help="configurations (default: 3d_fullres)"
    )
    parser.add_argument("-p", default="nnUNetPlans", metavar="PLANS", help="plans to start from (default: nnUNetPlans)")
    parser.add_argument("-o", metavar="NAME", help="name of the new plans, e.g. nnUNetPlansLowWeight")
    parser.add_argument(
        "-tr",
        default="nnUNetTrainerDyCON",
        metavar="TRAINER",
        help="the trainer whose settings these are (default: nnUNetTrainerDyCON)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace plans of that name")


def run(arguments: argparse.Namespace) -> None:
    """Write the plans, or list the settings.

    Args:
        arguments: as declared.

    Raises:
        UserError: see write_plans_with_settings.
    """
    from nnunetv2_dycon.datasets.planned_dataset import read_planned_dataset
    from nnunetv2_dycon.exceptions import UserError
    from nnunetv2_dycon.experiment_planning.write_plans_with_settings import (
        parse_assignments,
        write_plans_with_settings,
    )
    from nnunetv2_dycon.training.find_trainer import find_semi_supervised_trainer
    from nnunetv2_dycon.training.settings import settings_table

    trainer_class = find_semi_supervised_trainer(arguments.tr)
    if not arguments.settings:
        print(settings_table(trainer_class.settings_class))
        return
    if arguments.d is None or arguments.o is None:
        raise UserError("-d (the dataset) and -o (the name of the new plans) are needed to change settings.")
    target = write_plans_with_settings(
        read_planned_dataset(arguments.d, arguments.p),
        arguments.c,
        arguments.o,
        trainer_class.settings_section,
        trainer_class.settings_class,
        parse_assignments(arguments.settings),
        arguments.overwrite,
    )
    print(f"Wrote {target}. Train with:")
    print(f"nnUNetv2_train {arguments.d} {arguments.c[0]} 0 -tr {arguments.tr} -p {arguments.o}")
