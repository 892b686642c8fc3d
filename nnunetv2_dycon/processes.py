"""Ending processes: signals that ask for it, and worker processes that end with the one that started them."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.util
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from nnunetv2_dycon.files import remove_what_is_being_written

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing.process import BaseProcess

# EX_TEMPFAIL of sysexits.h: nothing is wrong, the same command can be run again.
EXIT_CODE = 75
STOP_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))
# A cluster signals all processes of a job, and launchers pass on what they get.
_SAME_REQUEST = 3.0  # seconds
_POLL_INTERVAL = 1.0  # seconds


class Stopped(SystemExit):
    """A signal asked this process to stop. Where it is not caught, the process ends with :data:`EXIT_CODE`.

    Args:
        received: the signal.

    Attributes:
        says_how_to_go_on: whether whoever was stopped has told the user.
    """

    def __init__(self, received: signal.Signals) -> None:
        super().__init__(EXIT_CODE)
        self.received = received
        self.says_how_to_go_on = False


class StopSignals:
    """In this ``with`` block, SIGTERM and SIGUSR1 stop the process in an orderly way.

    A signal raises :class:`Stopped` wherever the main thread is, so that ``finally`` and ``with`` clean up. Where
    :attr:`deferred` is True it is noted alone, and raised by whoever reads :attr:`received`, or at the end of the
    block. A second signal, three seconds after the first or later, ends the process at once, as without the block.

    In a process that another one has started, the same holds for SIGINT once that one has ended: PyTorch has it sent
    then, as when ``nnUNetv2_train -num_gpus`` is stopped. Before, SIGINT does what it did.

    Signals for which a program has set handlers of its own are left to them, and threads other than the main one can
    set none.

    Attributes:
        received: the signal that has come, None so far.
        deferred: whether a signal is noted alone.
        says_how_to_go_on: of what is raised at the end of the block.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.deferred = False
        self.says_how_to_go_on = False
        self._received_at = 0.0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in STOP_SIGNALS:
                previous = signal.getsignal(number)
                if previous == signal.SIG_DFL or isinstance(getattr(previous, "__self__", None), StopSignals):
                    self._previous[number] = signal.signal(number, self._receive)
            previous = signal.getsignal(signal.SIGINT)
            is_ours = isinstance(getattr(previous, "__self__", None), StopSignals)
            # Shells have programs in the background ignore it.
            may_change = is_ours or previous in (signal.default_int_handler, signal.SIG_IGN)
            if multiprocessing.parent_process() is not None and may_change:
                self._previous[signal.SIGINT] = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)
        self._previous.clear()
        if error is None:
            self.raise_if_received()

    def raise_if_received(self) -> None:
        """Raise :class:`Stopped` if a signal has come."""
        if self.received is not None:
            stopped = Stopped(self.received)
            stopped.says_how_to_go_on = self.says_how_to_go_on
            raise stopped

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            # The signal comes when its first thread ends, and it ends with the last one.
            parent.join(_POLL_INTERVAL)
        if parent is None or not parent.is_alive():
            self._receive(number, frame)
        elif callable(previous := self._previous.get(number)):
            previous(number, frame)

    def _receive(self, number: int, _: FrameType | None) -> None:
        # Nothing is printed here: the signal may have come in the middle of another print.
        now = time.monotonic()
        if self.received is None:
            self.received, self._received_at = signal.Signals(number), now
            if not self.deferred:
                self.raise_if_received()
        elif now - self._received_at >= _SAME_REQUEST:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


@contextlib.contextmanager
def silence_of_threads_cut_short(signals: StopSignals) -> Iterator[None]:
    """In this block, and from a stop signal on, threads that the signal caught while they were started say nothing.

    :class:`Stopped` is raised wherever the main thread is. Where that is in the middle of starting a thread, Python's
    record of threads is left without it, and the thread would end with a KeyError that means nothing to anybody.
    """
    previous = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        is_thread = isinstance(getattr(unraisable.object, "__self__", None), threading.Thread)
        if signals.received is None or not (is_thread and unraisable.exc_type is KeyError):
            previous(unraisable)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        # After a signal the process ends, and threads may end until then.
        if signals.received is None:
            sys.unraisablehook = previous


@contextlib.contextmanager
def forked_workers_end_with_this_process() -> Iterator[None]:
    """Worker processes that multiprocessing forks in this block end within a second when this process is killed.

    Stop signals from elsewhere do nothing to them: a cluster signals all processes of a job, and this process needs its
    workers until it has stopped. Those that it sends itself end them.
    """
    parent = _Parent()
    multiprocessing.util.register_after_fork(parent, _guard_forked_worker)
    _fork_mask.guards = True
    try:
        yield
    finally:
        _fork_mask.guards = False


@contextlib.contextmanager
def spawned_workers_end_with_this_block() -> Iterator[None]:
    """Worker processes that multiprocessing spawns in this block end when an exception leaves it.

    They end at once, whatever they are doing, and say nothing. Left to the end of the process, they would lose what
    they talk to first, such as a manager, and each would print what it then fails with. Where the block ends without an
    exception, they are left to whoever started them.
    """
    before = multiprocessing.active_children()
    # Workers take it over, so that the folder of their sockets is removed with this process and not by them.
    multiprocessing.util.get_temp_dir()
    try:
        yield
    except BaseException:
        workers = _spawned_since(before)
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.join()
        raise


def wait_for_spawned_workers(timeout: float) -> None:
    """Wait until the worker processes that multiprocessing has spawned have ended, for ``timeout`` seconds at most."""
    deadline = time.monotonic() + timeout
    for worker in _spawned_since([]):
        worker.join(max(0.0, deadline - time.monotonic()))


def _spawned_since(before: list[BaseProcess]) -> list[BaseProcess]:
    spawned = multiprocessing.get_context("spawn").Process
    return [
        worker for worker in multiprocessing.active_children() if isinstance(worker, spawned) and worker not in before
    ]


class _ForkMask(threading.local):
    """Stop signals are blocked while a thread forks a guarded worker.

    Libraries start threads of their own in a forked process before any Python code runs there. They inherit what is
    blocked, and a signal that one of them does not block would go to it.
    """

    guards = False
    before: set[int | signal.Signals] | None = None

    def block(self) -> None:
        if self.guards:
            self.before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)

    def restore(self) -> None:
        if self.before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, self.before)
            self.before = None


_fork_mask = _ForkMask()
if hasattr(signal, "sigtimedwait"):
    os.register_at_fork(before=_fork_mask.block, after_in_parent=_fork_mask.restore)


class _Parent:
    """This process, in processes that are forked from it; multiprocessing forgets it when it is collected."""

    def __init__(self) -> None:
        self.pid = os.getpid()


def _guard_forked_worker(parent: _Parent) -> None:
    if not hasattr(signal, "sigtimedwait"):
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        threading.Thread(target=_exit_after, args=(parent.pid, _POLL_INTERVAL), daemon=True).start()
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)

    def wait() -> None:
        while os.getppid() == parent.pid:
            received = signal.sigtimedwait(STOP_SIGNALS, _POLL_INTERVAL)
            if received is not None and received.si_pid == parent.pid:
                break
        os._exit(EXIT_CODE)

    threading.Thread(target=wait, daemon=True).start()


def end_with_parent(parent: int) -> None:
    """Initializer of spawned worker processes: end when the parent process does, or at a stop signal.

    What is being written is removed before.

    Args:
        parent: its process ID.
    """

    def end(*_: object) -> None:
        remove_what_is_being_written()
        os._exit(EXIT_CODE)

    for number in STOP_SIGNALS:
        signal.signal(number, end)
    threading.Thread(target=_exit_after, args=(parent, _POLL_INTERVAL), daemon=True).start()


def _exit_after(parent: int, interval: float) -> None:
    while os.getppid() == parent:
        time.sleep(interval)
    # The main thread cleans up, unless it is busy for too long.
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(2 * interval)
    os._exit(EXIT_CODE)


def end_workers(pool: ProcessPoolExecutor) -> None:
    """End the worker processes of a pool at once; what they have not finished is lost."""
    workers = list(pool._processes.values())
    pool.shutdown(wait=False, cancel_futures=True)
    for worker in workers:
        worker.terminate()
