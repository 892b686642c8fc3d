"""Claims: of several processes on several machines that share a folder, one does a piece of work."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout


class Claim:
    """The right of one process, of several on several machines that share a folder, to do a piece of work.

    Used in a ``with`` block, after :meth:`take`. It is a lock of the operating system on ``FILE.lock``, which ends with
    its process however that ends, on network file systems too (NFS: at the latest when the server misses the machine),
    so a claim is never left behind. ``FILE`` tells people who has it.

    Args:
        file: where the claim lies.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.lock_file = file.with_name(f"{file.name}.lock")
        self._lock = FileLock(self.lock_file)

    def take(self, *, timeout: float = 1.0) -> bool:
        """Try to become the owner.

        Args:
            timeout: how many seconds to try; for ever if negative. Not 0, since :meth:`is_held` of
                another process holds the lock for a moment.

        Returns:
            Whether this process owns it now.
        """
        self.file.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=timeout)
        except Timeout:
            return False
        owner = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S %z")}
        self.file.write_text(json.dumps(owner), encoding="utf-8")
        return True

    def __enter__(self) -> Claim:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.file.unlink(missing_ok=True)
        self._lock.release()

    def is_held(self) -> bool:
        """Whether some process owns it."""
        if not self.lock_file.exists():
            return False
        if not os.access(self.lock_file, os.W_OK):
            # The lock cannot be tried by one who may only read.
            return self.file.exists()
        try:
            with FileLock(self.lock_file).acquire(timeout=0):
                return False
        except Timeout:
            return True

    def describe(self) -> str:
        """Who holds it, for messages."""
        try:
            owner = json.loads(self.file.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return "another process"
        return f"process {owner['pid']} on {owner['host']} since {owner['since']}"
