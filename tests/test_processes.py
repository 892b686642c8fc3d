"""Signals end a process in order, and workers end with the process that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from nnunetv2_dycon import processes
from nnunetv2_dycon.processes import EXIT_CODE, Stopped, StopSignals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_ends_the_block(number: signal.Signals) -> None:
    with pytest.raises(Stopped) as stopped, StopSignals():
        os.kill(os.getpid(), number)
    assert stopped.value.code == EXIT_CODE == os.EX_TEMPFAIL
    assert stopped.value.received is number
    assert signal.getsignal(number) is signal.SIG_DFL


def test_a_deferred_signal_is_noted_and_raised_in_the_end() -> None:
    reached = []

    def block() -> None:
        with StopSignals() as signals:
            signals.deferred = True
            os.kill(os.getpid(), signal.SIGTERM)
            reached.append(signals.received)

    with pytest.raises(Stopped):
        block()
    assert reached == [signal.SIGTERM]


def test_an_inner_block_takes_over_and_gives_back() -> None:
    with StopSignals() as outer:
        with StopSignals() as inner:
            inner.deferred = True
            os.kill(os.getpid(), signal.SIGTERM)
            assert outer.received is None
            inner.received = None
        outer.deferred = True
        os.kill(os.getpid(), signal.SIGTERM)
        assert outer.received is signal.SIGTERM
        outer.received = None


def test_handlers_of_the_program_s_own_stay() -> None:
    own = []
    before = signal.signal(signal.SIGUSR1, lambda *_: own.append(1))
    try:
        with StopSignals():
            os.kill(os.getpid(), signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert own == [1]


def test_other_threads_leave_handlers_alone() -> None:
    found = []

    def enter() -> None:
        with StopSignals():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [signal.SIG_DFL]


SECOND_SIGNAL = """
import os, signal, time
from nnunetv2_dycon import processes
processes._SAME_REQUEST = {same_request}
with processes.StopSignals() as signals:
    signals.deferred = True
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGUSR1)
    print("went on", flush=True)
"""


@pytest.mark.parametrize(("same_request", "exit_code"), [(0.001, -signal.SIGUSR1), (60, EXIT_CODE)])
def test_a_second_signal_ends_at_once_unless_it_is_the_same_request(same_request: float, exit_code: int) -> None:
    code = SECOND_SIGNAL.format(same_request=same_request)
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == exit_code
    assert ("went on" in finished.stdout) == (exit_code == EXIT_CODE)


PARENT = """
import multiprocessing, os, signal, sys, time
from nnunetv2_dycon import processes

def work(ready):
    ready.set()
    while True:
        time.sleep(0.01)

context = multiprocessing.get_context("fork")
ready = context.Event()
worker = context.Process(target=work, args=(ready,), daemon=True)
with processes.forked_workers_end_with_this_process():
    worker.start()
ready.wait()
print(worker.pid, flush=True)
for line in sys.stdin:
    exec(line)
"""


@pytest.fixture
def parent() -> subprocess.Popen:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        yield process
        process.kill()


def ends(pid: int, timeout: float = 5) -> bool:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if not Path(f"/proc/{pid}").exists() or "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text():
            return True
        time.sleep(0.05)
    return False


THREAD_OF_A_LIBRARY = """
import multiprocessing, os, signal, threading
from nnunetv2_dycon import processes

blocked = []
def start_thread():
    thread = threading.Thread(target=lambda: blocked.append(signal.pthread_sigmask(signal.SIG_BLOCK, [])))
    thread.start()
    thread.join()

# As a library in C does, which starts its threads again before multiprocessing comes to word.
os.register_at_fork(after_in_child=start_thread)
context = multiprocessing.get_context("fork")
queue = context.Queue()
with processes.forked_workers_end_with_this_process():
    worker = context.Process(target=lambda: queue.put(sorted(blocked[-1])))
    worker.start()
    print([number.name for number in queue.get()], signal.pthread_sigmask(signal.SIG_BLOCK, []))
    worker.join()
worker = context.Process(target=lambda: queue.put(sorted(blocked[-1])))
worker.start()
print(queue.get())
worker.join()
"""


@pytest.mark.skipif(not hasattr(signal, "sigtimedwait"), reason="needs sigtimedwait")
def test_threads_that_a_fork_starts_leave_signals_to_the_thread_that_waits_for_them() -> None:
    command = [sys.executable, "-c", THREAD_OF_A_LIBRARY]
    finished = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert finished.stdout.splitlines() == ["['SIGUSR1', 'SIGTERM'] set()", "[]"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="reads /proc")
def test_a_forked_worker_ends_when_its_parent_is_killed_and_not_at_a_signal_to_all(parent: subprocess.Popen) -> None:
    worker = int(parent.stdout.readline())
    for number in (signal.SIGTERM, signal.SIGUSR1):
        os.kill(worker, number)
    assert not ends(worker, 1.5)
    parent.kill()
    parent.wait()
    assert ends(worker)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="reads /proc")
def test_a_forked_worker_ends_when_its_parent_says_so(parent: subprocess.Popen) -> None:
    worker = int(parent.stdout.readline())
    parent.stdin.write("worker.terminate(); worker.join(5); print(worker.exitcode, flush=True)\n")
    assert int(parent.stdout.readline()) == EXIT_CODE
    assert ends(worker)


def test_spawned_workers_end_with_a_block_that_an_exception_leaves() -> None:
    context = multiprocessing.get_context("spawn")
    before, within = (context.Process(target=time.sleep, args=(60,), daemon=True) for _ in range(2))
    before.start()

    def start_and_stop() -> None:
        with processes.spawned_workers_end_with_this_block():
            within.start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start_and_stop()
    assert within.exitcode == -signal.SIGKILL
    assert before.is_alive()
    processes.wait_for_spawned_workers(0.01)
    assert before.is_alive()
    before.kill()
    before.join()


def test_workers_that_are_forked_outside_the_block_are_left_alone() -> None:
    with processes.forked_workers_end_with_this_process():
        pass
    worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    worker.start()
    os.kill(worker.pid, signal.SIGTERM)
    worker.join(5)
    assert worker.exitcode == -signal.SIGTERM


# A thread that Python's record does not have, as when a signal comes while it is started.
_THREADS_CUT_SHORT = """
import _thread, os, signal, threading, time
from nnunetv2_dycon.processes import Stopped, StopSignals, silence_of_threads_cut_short

def cut_short():
    _thread.start_new_thread(threading.Thread(name="lost", daemon=True)._bootstrap, ())
    time.sleep(0.5)

try:
    with StopSignals() as signals, silence_of_threads_cut_short(signals):
        if {before}:
            cut_short()
        os.kill(os.getpid(), signal.SIGTERM)
except Stopped:
    if not {before}:
        cut_short()
"""


@pytest.mark.parametrize("before", [True, False])
def test_threads_that_a_signal_cut_short_say_nothing_after_it(before: bool) -> None:
    command = [sys.executable, "-c", _THREADS_CUT_SHORT.format(before=before)]
    error = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    assert ("KeyError" in error) == before
