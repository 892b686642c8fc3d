"""How many labels each method saves: train, record and report.

``run`` trains arms on few labeled and many unlabeled cases of a fully labeled dataset and records metrics on test
cases that no training sees; ``report`` makes tables and pictures of the records, at any time.
"""

from __future__ import annotations

import argparse
import sys
from types import ModuleType

from benchmarks.label_efficiency import report_command, run_command
from nnunetv2_dycon.exceptions import UserError

_COMMANDS: dict[str, ModuleType] = {"run": run_command, "report": report_command}


def main(arguments: list[str] | None = None) -> int:
    """Run one of the commands.

    Args:
        arguments: the command line, without the program's name; that of this process if None.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.label_efficiency",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, module in _COMMANDS.items():
        module.add_arguments(commands.add_parser(name, help=module.__doc__))
    options = parser.parse_args(arguments)
    try:
        return _COMMANDS[options.command].run(options)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
