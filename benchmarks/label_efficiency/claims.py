"""Claims: of several processes on several machines that share a folder, one does a piece of work."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from pathlib import Path
from types import TracebackType

# A claim is renewed this often, and no longer believed after a time in which several renewals should have come.
RENEWAL_SECONDS = 30.0
STALE_SECONDS = 600.0


class Claim:
    """A file that one process at a time can hold.

    Used in a ``with`` block, after :meth:`take`. While it is held, a thread renews its time, so that others can tell a
    claim whose owner has died.

    Args:
        file: where the claim lies, in a folder that all processes share.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._ended = threading.Event()

    def take(self, *, take_over: bool = False) -> bool:
        """Try to become the owner.

        Args:
            take_over: also where a stale claim is in the way.

        Returns:
            Whether this process owns it now.
        """
        if take_over and self.is_stale():
            # Renaming succeeds for one of several processes that do this at once.
            aside = self.file.with_name(f"{self.file.name}.{socket.gethostname()}.{os.getpid()}")
            try:
                self.file.rename(aside)
            except FileNotFoundError:
                return False
            aside.unlink()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        owner = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S %z")}
        try:
            with self.file.open("x", encoding="utf-8") as file:
                json.dump(owner, file)
        except FileExistsError:
            return False
        threading.Thread(target=self._renew, daemon=True).start()
        return True

    def __enter__(self) -> Claim:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self.file.unlink(missing_ok=True)

    def is_held(self) -> bool:
        """Whether some process owns it, or has left it behind."""
        return self.file.exists()

    def is_stale(self) -> bool:
        """Whether its owner has died: a process of this machine that is gone, or a claim not renewed for long."""
        try:
            age = time.time() - self.file.stat().st_mtime
            owner = json.loads(self.file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return False
        except json.JSONDecodeError:
            return age > STALE_SECONDS
        return age > STALE_SECONDS or (owner["host"] == socket.gethostname() and not _is_running(owner["pid"]))

    def describe(self) -> str:
        """Who holds it, for messages."""
        try:
            owner = json.loads(self.file.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return "another process"
        return f"process {owner['pid']} on {owner['host']} since {owner['since']}"

    def _renew(self) -> None:
        while not self._ended.wait(RENEWAL_SECONDS):
            try:
                os.utime(self.file)
            except FileNotFoundError:
                return


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
