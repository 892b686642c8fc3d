"""``nnunetv2_dycon doctor``: is everything as it must be?"""

from __future__ import annotations

import argparse
from itertools import chain

NAME = "doctor"
HELP = "check versions, registration with nnU-Net, paths and GPU, and with -d a dataset"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Checks the installation: versions, whether nnU-Net finds the trainers, nnU-Net's three folders, the GPU. With "
        "-d also a dataset: how many cases are labeled and unlabeled, and what is not ready. Exits with 1 if there is "
        "a problem."
    )
    parser.add_argument("-d", metavar="DATASET", help="dataset ID or name, e.g. 501")
    parser.add_argument("-p", default="nnUNetPlans", metavar="PLANS", help="plans identifier (default: nnUNetPlans)")
    text = "check the settings of this trainer, also one of your own (default: of every trainer of the package)"
    parser.add_argument("-tr", metavar="TRAINER", help=text)
    parser.add_argument("-c", default="3d_fullres", metavar="CONFIGURATION", help="configuration (default: 3d_fullres)")


def run(arguments: argparse.Namespace) -> None:
    """Check and print."""
    from nnunetv2_dycon.diagnosis import diagnose_dataset, diagnose_installation
    from nnunetv2_dycon.exceptions import UserError

    of_dataset = () if arguments.d is None else diagnose_dataset(arguments.d, arguments.p, arguments.c, arguments.tr)
    problems = 0
    for finding in chain(diagnose_installation(), of_dataset):
        print(finding, flush=True)
        problems += finding.is_problem
    if problems:
        raise UserError(f"{problems} problem(s), marked above.")
