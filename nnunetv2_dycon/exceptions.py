"""Errors that a user can act on."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from types import TracebackType

_LONGEST_REASON = 300  # characters


class UserError(RuntimeError):
    """Something in the user's data, settings or folders is wrong; the message names it and the remedy."""


class FirstProcessError(UserError):
    """The first of the processes that share a training has failed, and tells why itself."""


class UnsupportedFeatureError(UserError, NotImplementedError):
    """A feature of nnU-Net that this package refuses at start because it is not supported yet."""


def print_user_errors_without_traceback() -> None:
    """Make the interpreter end with the message alone when an error that a user can act on is not caught.

    Beside :class:`UserError` this is a missing plans file, which nnU-Net looks for before it makes a trainer, and a
    file for ``-pretrained_weights`` that does not fit, which nnU-Net reads without the trainer. All other exceptions go
    to the hook that was installed before; the exit code stays 1. Calling it again changes nothing.
    """
    previous = sys.excepthook
    if getattr(previous, "prints_user_errors", False):
        return

    def hook(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
        message = _message_for_user(error)
        if message is None:
            previous(kind, error, where)
        else:
            print(f"\nError: {message}", file=sys.stderr)

    hook.prints_user_errors = True  # type: ignore[attr-defined]
    sys.excepthook = hook


def _message_for_user(error: BaseException) -> str | None:
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, FileNotFoundError) and isinstance(error.filename, str):
        file = Path(error.filename)
        if file.suffix == ".json" and file.parent.parent == Path(os.environ.get("nnUNet_preprocessed", "")):
            return (
                f"{file} is not there. Plan and preprocess the dataset first (nnUNetv2_plan_and_preprocess), or name "
                "plans that are there with -p."
            )
    if (pretrained_weights := _pretrained_weights_that_failed(error)) is not None:
        reason = str(error).partition("\n")[0][:_LONGEST_REASON] or type(error).__name__
        return (
            f"{pretrained_weights} cannot be used as -pretrained_weights ({reason}). Name a whole checkpoint of a "
            "network of the same architecture."
        )
    return None


def _pretrained_weights_that_failed(error: BaseException) -> str | None:
    """The file that nnU-Net was reading for -pretrained_weights, which it does without telling the trainer."""
    for frame, _ in traceback.walk_tb(error.__traceback__ if isinstance(error, Exception) else None):
        if frame.f_code.co_name == "load_pretrained_weights" and "fname" in frame.f_locals:
            return str(frame.f_locals["fname"])
    return None
