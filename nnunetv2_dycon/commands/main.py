"""The command ``nnunetv2_dycon``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from nnunetv2_dycon import __version__
from nnunetv2_dycon.commands import (
    add_labels,
    compare,
    convert,
    demo,
    determine_postprocessing,
    doctor,
    export,
    plan,
    predict_next_stage,
    preprocess,
    pseudo_label,
    rank,
    self_train,
    simulate,
    train,
    uncertainty,
)
from nnunetv2_dycon.exceptions import FirstProcessError, UserError
from nnunetv2_dycon.processes import EXIT_CODE, Stopped, StopSignals, silence_of_threads_cut_short

COMMANDS = (
    preprocess,
    train,
    simulate,
    convert,
    plan,
    predict_next_stage,
    self_train,
    pseudo_label,
    uncertainty,
    rank,
    add_labels,
    compare,
    determine_postprocessing,
    export,
    doctor,
    demo,
)


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
        options = getattr(command, "PARSER_OPTIONS", {})
        subparser = subparsers.add_parser(command.NAME, help=command.HELP, description=command.HELP, **options)
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run, refuse=subparser.error)
    return parser


def _check_variables() -> None:
    """Refuse numbers of processes that are none, which nnU-Net reads when it is imported."""
    for name in ("nnUNet_def_n_proc", "nnUNet_n_proc_DA"):
        value = os.environ.get(name, "0")
        if not value.strip().isdecimal():
            raise UserError(f"the environment variable {name} must be a whole number, not {value!r}: correct it.")


def _is_output_closed() -> bool:
    """Whether nobody reads what is printed any more, as after ``| head``; then nothing is printed from here on."""
    try:
        # Flushing would not do: what could not be written is gone.
        os.write(sys.stdout.fileno(), b"\n")
    except BrokenPipeError:
        # For what Python still flushes when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand of the process's command line, or of another one, and return the exit code.

    That is 0, or 1 after an error that the user can act on, whose message is printed; so are errors of the file system
    that name a file. It is 75 after SIGTERM or SIGUSR1. Wrong usage ends the process with 2, as argparse does, and so
    does a command line without any argument, which the help answers.
    """
    parser = build_parser()
    if not (sys.argv[1:] if arguments is None else arguments):
        parser.print_help(sys.stderr)
        raise SystemExit(2)
    parsed, surplus = parser.parse_known_args(arguments)
    if surplus:
        # With the usage of the subcommand, where parse_args shows that of the command.
        parsed.refuse(f"unrecognized arguments: {' '.join(surplus)}")
    try:
        _check_variables()
        with StopSignals() as signals, silence_of_threads_cut_short(signals):
            parsed.run(parsed)
            sys.stdout.flush()
    except FirstProcessError:
        # One sentence is enough, and that process prints it.
        return 1
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _is_output_closed():
            return 1
        if error.filename is None:
            raise
        place = f"{error.filename}: {error.strerror}"
        print(f"Error: {place}. Check this path, its permissions and the free space.", file=sys.stderr)
        return 1
    except Stopped as stopped:
        # A training has said itself how it goes on, which is not by the same command.
        if not stopped.says_how_to_go_on:
            how = ", with --continue_prediction" if hasattr(parsed, "continue_prediction") else ""
            print(f"Stopped by {stopped.received.name}. Run the same command again{how}.", file=sys.stderr)
        return EXIT_CODE
    return 0


if __name__ == "__main__":
    sys.exit(main())
