"""``nnunetv2_dycon plan``: plans with other settings or another network."""

from __future__ import annotations

import argparse
from typing import Any

from nnunetv2_dycon.commands.shared_arguments import (
    DATASET_HELP,
    add_configurations_argument,
    add_plans_argument,
    add_trainer_argument,
)

NAME = "plan"
HELP = "write plans of a new name with other settings or another network"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Writes plans of a new name with other settings of a semi-supervised trainer, or another network, so that "
        "results of different ones never share a folder. Train with them by nnUNetv2_train ... -p PLANS; nothing has "
        "to be preprocessed again. Writing needs -d, -o, and settings or --network. Without settings and --network, "
        "lists all settings of the trainer."
    )
    parser.add_argument("settings", nargs="*", metavar="NAME=VALUE", help="settings to change, e.g. uncl_weight=2")
    parser.add_argument("-d", metavar="DATASET", help=f"{DATASET_HELP}; required to write plans")
    add_configurations_argument(parser)
    add_trainer_argument(parser, what="trainer whose settings to change or list")
    add_plans_argument(parser, what="plans to start from")
    parser.add_argument(
        "-o", metavar="PLANS", help="name of the new plans, e.g. nnUNetPlansLowWeight; required to write plans"
    )
    networks = ("PlainConvUNet", "ResidualEncoderUNet", "ResidualUNet")
    parser.add_argument("--network", choices=networks, help="another network, with the stages that nnU-Net planned")
    parser.add_argument("--overwrite", action="store_true", help="replace plans of that name")


def run(arguments: argparse.Namespace) -> None:
    """Write the plans, or list the settings."""
    # -c takes everything up to the next option, settings too.
    if configurations := [name for name in arguments.c if "=" not in name]:
        arguments.settings = [*arguments.settings, *(name for name in arguments.c if "=" in name)]
        arguments.c = configurations

    from nnunetv2_dycon.datasets.planned_dataset import read_planned_dataset
    from nnunetv2_dycon.exceptions import UserError
    from nnunetv2_dycon.experiment_planning.networks import compare_feature_maps
    from nnunetv2_dycon.experiment_planning.plans import parse_assignments, write_plans
    from nnunetv2_dycon.methods.settings import settings_table
    from nnunetv2_dycon.nnunet_command import device_option
    from nnunetv2_dycon.training.find_trainer import find_semi_supervised_trainer, find_trainer

    options: dict[str, Any] = {}
    if arguments.settings or arguments.network is None:
        method = find_semi_supervised_trainer(arguments.tr).method_class
        options = {"settings_section": method.settings_section, "settings_class": method.settings_class}
    else:
        # Every trainer takes another network.
        find_trainer(arguments.tr)
    if not arguments.settings and arguments.network is None:
        if arguments.o is not None:
            raise UserError(f"There is nothing to change in {arguments.o}: give settings as NAME=VALUE, or --network.")
        print(settings_table(method.settings_class))
        return
    missing = {"-d (the dataset)": arguments.d, "-o (the name of the new plans)": arguments.o}
    if needed := " and ".join(option for option, value in missing.items() if value is None):
        raise UserError(f"Give {needed}, to write plans.")
    dataset = read_planned_dataset(arguments.d, arguments.p, *arguments.c)
    target = write_plans(
        dataset,
        arguments.c,
        arguments.o,
        **options,
        changes=parse_assignments(arguments.settings),
        network=arguments.network,
        overwrite=arguments.overwrite,
    )
    if arguments.network is not None:
        planned = read_planned_dataset(arguments.d, arguments.o)
        for configuration in arguments.c:
            print(compare_feature_maps(dataset, planned, configuration))
    print(f"Wrote {target}. Train with:")
    # Results of other plans are in another folder, those of a cascade's first stage too.
    for name in filter(None, (dataset.configuration(arguments.c[0]).previous_stage_name, arguments.c[0])):
        print(f"nnUNetv2_train {arguments.d} {name} 0 -tr {arguments.tr} -p {arguments.o}{device_option()}")
