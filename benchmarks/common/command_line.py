"""What the command lines of benchmarks share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from nnunetv2_dycon.exceptions import UserError


def make_parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """A parser without options for ``python -m MODULE``.

    Args:
        module: such as ``benchmarks.losses``.
        description: the module's docstring, which keeps its lines.
    """
    return argparse.ArgumentParser(
        prog=f"python -m {module}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def exit_code_of(work: Callable[[], int | None]) -> int:
    """Do the work of a program.

    Args:
        work: may return an exit code.

    Returns:
        That code or 0, or 1 after an error that the user can act on, whose message is printed.
    """
    try:
        return work() or 0
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
