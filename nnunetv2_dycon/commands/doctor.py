"""``nnunetv2_dycon doctor``: is everything as it must be?"""

from __future__ import annotations

import argparse
from itertools import chain

from nnunetv2_dycon.commands.shared_arguments import (
    DATASET_HELP,
    add_configuration_argument,
    add_folds_argument,
    add_plans_argument,
)

NAME = "doctor"
HELP = "check versions, registration with nnU-Net, paths and GPU, with -d a dataset, and with -tr its trainings"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Checks the installation: versions, whether nnU-Net finds the trainers, nnU-Net's three folders, the GPU. With "
        "-d also a dataset: how many cases are labeled and unlabeled, and what is not ready. With -d and -tr also the "
        "trainings in the results folder: whether they work, and which setting to change. Exits with 1 if there is a "
        "problem, or something to do before a training."
    )
    parser.add_argument("-d", metavar="DATASET", help=f"{DATASET_HELP} (default: the installation alone)")
    add_configuration_argument(parser)
    text = "trainer, also one of your own, whose settings and trainings to check (default: settings of every trainer)"
    parser.add_argument("-tr", metavar="TRAINER", help=text)
    add_plans_argument(parser)
    add_folds_argument(parser, "every one that is there")


def run(arguments: argparse.Namespace) -> None:
    """Check and print."""
    from nnunetv2_dycon.diagnosis.dataset import diagnose_dataset
    from nnunetv2_dycon.diagnosis.installation import diagnose_installation
    from nnunetv2_dycon.diagnosis.training import diagnose_trainings
    from nnunetv2_dycon.exceptions import UserError, counted

    if arguments.f and (arguments.d is None or arguments.tr is None):
        raise UserError("-f names folds of trainings: name the dataset with -d and the trainer with -tr too.")
    findings = [diagnose_installation()]
    if arguments.d is not None:
        findings.append(diagnose_dataset(arguments.d, arguments.p, arguments.c, arguments.tr))
        if arguments.tr is not None:
            findings.append(diagnose_trainings(arguments.d, arguments.tr, arguments.p, arguments.c, arguments.f))
    problems = to_do = 0
    for finding in chain.from_iterable(findings):
        print(finding, flush=True)
        problems += finding.is_problem
        to_do += finding.is_to_do
    if problems:
        counts = [counted(problems, "problem")] + [f"{counted(to_do, 'thing')} to do"] * (to_do > 0)
        raise UserError(f"{' and '.join(counts)}, marked above.")
    if to_do:
        # As after every installation and before planning: no error, and yet not ready.
        print("\nNo problem was found. What is marked [to do] comes next.", flush=True)
        raise SystemExit(1)
