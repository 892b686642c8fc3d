"""``nnunetv2_dycon train``: nnUNetv2_train, also as one of torchrun's processes."""

from __future__ import annotations

import argparse

NAME = "train"
HELP = "nnUNetv2_train with all its arguments; for several nodes: torchrun ... --no-python nnunetv2_dycon train ..."
# The arguments, help included, are for nnU-Net's parser: nothing is an option for this one.
PARSER_OPTIONS = {"prefix_chars": "\0", "add_help": False}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare that everything is passed on."""
    parser.add_argument("arguments", nargs="*", metavar="ARGUMENT", help="see nnUNetv2_train --help")


def run(arguments: argparse.Namespace) -> None:
    """Train."""
    from nnunetv2_dycon.training.launch import train

    train(arguments.arguments)
