"""The command ``nnunetv2_dycon``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from nnunetv2_dycon import __version__
from nnunetv2_dycon.commands import compare, demo, doctor, export, plan, preprocess, pseudo_label, self_train, simulate
from nnunetv2_dycon.exceptions import UserError

COMMANDS = (preprocess, simulate, plan, self_train, pseudo_label, compare, export, doctor, demo)


def build_parser() -> argparse.ArgumentParser:
    """The parser with all subcommands."""
    parser = argparse.ArgumentParser(
        prog="nnunetv2_dycon",
        description="Semi-supervised nnU-Net: helpers around nnU-Net's own commands. Training and prediction are "
        "nnUNetv2_train DATASET CONFIGURATION FOLD -tr nnUNetTrainerDyCON and nnUNetv2_predict.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        subparser = subparsers.add_parser(command.NAME, help=command.HELP, description=command.HELP)
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand of the process's command line, or of another one, and return the exit code.

    That is 0, or 1 after an error that the user can act on, whose message is printed. Wrong usage ends the process with
    2, as argparse does.
    """
    parsed = build_parser().parse_args(arguments)
    try:
        parsed.run(parsed)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
