"""Locks of cases: of several processes that preprocess the same data set, one does a case."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout


@contextlib.contextmanager
def case_lock(folder: Path, identifier: str) -> Iterator[bool]:
    """Lock a case in this block, unless another process has.

    It is a lock of the operating system, which ends with its process however that ends. It only saves work: where a
    file system has no locks, every process counts as the one that has it, and files are whole all the same.

    Yields:
        Whether no other process is at work on the case. It does not wait.
    """
    file = folder / f".{identifier}.lock"
    with contextlib.ExitStack() as stack:
        is_free = True
        try:
            stack.enter_context(FileLock(file).acquire(timeout=0))
        except Timeout:
            is_free = False
        except (OSError, NotImplementedError):
            # No locks here, or the file is another user's.
            pass
        else:
            stack.callback(_remove, file)
        yield is_free


def _remove(file: Path) -> None:
    # Windows removes no open file. Who waits on a removed one may get it beside a newcomer, which does no harm.
    with contextlib.suppress(OSError):
        file.unlink()
