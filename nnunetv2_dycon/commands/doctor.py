"""``nnunetv2_dycon doctor``: is everything as it must be?"""

from __future__ import annotations

import argparse

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
    parser.add_argument("-c", default="3d_fullres", metavar="CONFIGURATION", help="configuration (default: 3d_fullres)")


def run(arguments: argparse.Namespace) -> None:
    """Check and print."""
    from nnunetv2_dycon.diagnosis import diagnose_dataset, diagnose_installation
    from nnunetv2_dycon.exceptions import UserError

    findings = []
    for finding in diagnose_installation():
        findings.append(finding)
        print(finding, flush=True)
    if arguments.d is not None:
        for finding in diagnose_dataset(arguments.d, arguments.p, arguments.c):
            findings.append(finding)
            print(finding, flush=True)
    problems = sum(finding.is_problem for finding in findings)
    if problems:
        raise UserError(f"{problems} problem(s), marked above.")
