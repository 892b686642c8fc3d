"""Options that several commands share: one name, one metavar and one text for the same thing.

Commands declare them in the order ``-d -c -tr -p -f -i -o``, then their own, then ``-device`` and processes.
As in nnU-Net, ``-np`` is the number of all processes of a command, ``-npp`` of those that preprocess for a prediction.
"""

from __future__ import annotations

import argparse

DATASET_HELP = "dataset ID or name, e.g. 501"
"""What ``-d`` takes, for commands that say more of it."""


def add_dataset_argument(parser: argparse.ArgumentParser) -> None:
    """Declare ``-d``, which is required."""
    parser.add_argument("-d", required=True, metavar="DATASET", help=DATASET_HELP)


def add_configuration_argument(parser: argparse.ArgumentParser, default: str = "3d_fullres") -> None:
    """Declare ``-c`` for one configuration."""
    parser.add_argument("-c", default=default, metavar="CONFIGURATION", help=f"configuration (default: {default})")


def add_configurations_argument(parser: argparse.ArgumentParser) -> None:
    """Declare ``-c`` for one configuration or several; its value is a list."""
    parser.add_argument(
        "-c",
        nargs="+",
        default=["3d_fullres"],
        metavar="CONFIGURATION",
        help="configuration, or several (default: 3d_fullres)",
    )


def add_trainer_argument(
    parser: argparse.ArgumentParser, default: str = "nnUNetTrainerDyCON", what: str = "trainer"
) -> None:
    """Declare ``-tr`` for one trainer.

    Args:
        parser: of the command.
        default: name of a trainer.
        what: what the trainer is for, as the help says it.
    """
    parser.add_argument("-tr", default=default, metavar="TRAINER", help=f"{what} (default: {default})")


def add_plans_argument(parser: argparse.ArgumentParser, what: str = "plans identifier") -> None:
    """Declare ``-p``.

    Args:
        parser: of the command.
        what: what the plans are for, as the help says it.
    """
    parser.add_argument("-p", default="nnUNetPlans", metavar="PLANS", help=f"{what} (default: nnUNetPlans)")


def add_fold_argument(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Declare ``-f`` for one fold.

    Args:
        parser: of the command.
        default: a fold; None where the user has to name one.
    """
    text = "fold, a number or all" + ("" if default is None else f" (default: {default})")
    parser.add_argument("-f", required=default is None, default=default, metavar="FOLD", help=text)


def add_folds_argument(parser: argparse.ArgumentParser, default: str, what: str = "numbers or all") -> None:
    """Declare ``-f`` for one fold or several; its value is a list, empty without the option.

    Args:
        parser: of the command.
        default: which folds are taken without the option, in words.
        what: which folds can be named.
    """
    parser.add_argument("-f", nargs="+", default=[], metavar="FOLD", help=f"folds, {what} (default: {default})")


def add_new_dataset_argument(parser: argparse.ArgumentParser) -> None:
    """Declare ``-o`` of commands that make a dataset, which is required."""
    parser.add_argument(
        "-o",
        required=True,
        metavar="DATASET",
        help="dataset to make in nnUNet_raw, by ID (502) or name (Dataset502_NAME)",
    )


def add_new_datasets_argument(parser: argparse.ArgumentParser, what: str) -> None:
    """Declare ``-o`` of commands that make one dataset or several, which is required; its value is a list.

    Args:
        parser: of the command.
        what: what each of them is for.
    """
    parser.add_argument(
        "-o",
        nargs="+",
        action="extend",
        required=True,
        metavar="DATASET",
        help=f"dataset to make in nnUNet_raw, by ID (502) or name (Dataset502_NAME), or several: {what}",
    )


def add_copy_argument(parser: argparse.ArgumentParser) -> None:
    """Declare ``--copy`` of commands that make a dataset of links."""
    parser.add_argument("--copy", action="store_true", help="copy images and labels (default: symbolic links to them)")


def add_all_components_argument(parser: argparse.ArgumentParser) -> None:
    """Declare ``--all_components`` of commands that take predictions for labels."""
    parser.add_argument(
        "--all_components",
        action="store_true",
        help="take predictions as they are (default: where all labeled cases that show a structure, four or more, "
        "have one connected component of it, keep the largest one of each prediction)",
    )


def add_mirroring_argument(parser: argparse.ArgumentParser) -> None:
    """Declare ``--disable_tta`` of commands that predict."""
    parser.add_argument("--disable_tta", action="store_true", help="predict without mirroring: faster, less accurate")


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    """Declare ``-device``."""
    parser.add_argument(
        "-device", choices=("cuda", "cpu", "mps"), default="cuda", help="where to compute (default: cuda)"
    )


def add_processes_argument(parser: argparse.ArgumentParser, what: str) -> None:
    """Declare ``-np``, 4 by default.

    Args:
        parser: of the command.
        what: what the processes do.
    """
    parser.add_argument("-np", type=int, default=4, metavar="N", help=f"processes for {what} (default: 4)")
