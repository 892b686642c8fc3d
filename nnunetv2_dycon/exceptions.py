"""Errors that a user can act on."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Sized
from pathlib import Path
from types import TracebackType


class UserError(RuntimeError):
    """Something in the user's data, settings or folders is wrong; the message names it and the remedy."""


def listed(names: Iterable[str], most: int = 5) -> str:
    """Names for a message, with commas; of more than ``most``, these first ones and the number of others."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


class FirstProcessError(UserError):
    """The first of the processes that share a training has failed, and tells why itself."""


class UnsupportedFeatureError(UserError, NotImplementedError):
    """A feature of nnU-Net that this package refuses at start because it is not supported yet."""


def counted(number: int, noun: str) -> str:
    """A number with its noun, whose plural ends in ``s``: "1 problem", "2 problems"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def is_or_are(names: Sized) -> str:
    """The verb after :func:`listed` names."""
    return "is" if len(names) == 1 else "are"


def print_user_errors_without_traceback() -> None:
    """Make the interpreter end with the message alone when an error that a user can act on is not caught.

    Beside :class:`UserError` this is what nnU-Net raises when it reads the arguments and files that nnUNetv2_train was
    given, before it makes a trainer. All other exceptions go to the hook that was installed before; the exit code stays
    1. Calling it again changes nothing.
    """
    previous = sys.excepthook
    if getattr(previous, "prints_user_errors", False):
        return

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        message = _message_for_user(error, traceback)
        if message is None:
            previous(kind, error, traceback)
        else:
            print(f"\nError: {message}", file=sys.stderr)

    hook.prints_user_errors = True  # type: ignore[attr-defined]
    sys.excepthook = hook


def _message_for_user(error: BaseException, traceback: TracebackType | None) -> str | None:
    if traceback is not None and isinstance(error, Exception):
        from nnunetv2_dycon.training.command_errors import explain

        if (sentence := explain(error, traceback)) is not None:
            return sentence
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, FileNotFoundError) and isinstance(error.filename, str):
        file = Path(error.filename)
        preprocessed = os.environ.get("nnUNet_preprocessed")
        if preprocessed and file.suffix == ".json" and file.parent.parent == Path(preprocessed):
            from nnunetv2_dycon.datasets.planned_dataset import describe_missing_plans

            # In a folder that is none of a dataset it is a file of somebody else's.
            with contextlib.suppress(UserError):
                return describe_missing_plans(file)
    return None
