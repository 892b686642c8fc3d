"""Errors that a user can act on."""

from __future__ import annotations

import sys
from types import TracebackType


class UserError(RuntimeError):
    """Something in the user's data, settings or folders is wrong.

    The message names the file or setting and the remedy. Command lines print it without a traceback.
    """


class UnsupportedFeatureError(UserError, NotImplementedError):
    """A feature of nnU-Net that this package refuses at start because it is not supported yet."""


def print_user_errors_without_traceback() -> None:
    """Make the interpreter end with the message alone when a :class:`UserError` is not caught.

    nnU-Net's command lines know nothing of our errors, and a traceback hides the sentence that helps. All other
    exceptions go to the hook that was installed before; the exit code stays 1. Calling it again changes nothing.
    """
    previous = sys.excepthook
    if getattr(previous, "prints_user_errors", False):
        return

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if isinstance(error, UserError):
            print(f"\nError: {error}", file=sys.stderr)
        else:
            previous(kind, error, traceback)

    hook.prints_user_errors = True  # type: ignore[attr-defined]
    sys.excepthook = hook
