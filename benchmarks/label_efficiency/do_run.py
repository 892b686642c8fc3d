"""Doing one run in a process of its own, with its claim, log and failures."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any, Literal

from benchmarks.common.measuring_process import REPOSITORY
from benchmarks.label_efficiency.files import write_whole_json
from benchmarks.label_efficiency.run import Run

Outcome = Literal["done", "failed", "claimed"]
_MODULE = "benchmarks.label_efficiency.execute_run"


def do_run(run: Run, details: dict[str, Any], environment: Mapping[str, str], *, take_over: bool = False) -> Outcome:
    """Claim a run and do it, from where an interrupted attempt left it.

    Args:
        run: what to do.
        details: see :meth:`Run.write_order`.
        environment: the whole environment of its process.
        take_over: whether to take a stale claim over.

    Returns:
        ``claimed`` where another process has it.
    """
    claim = run.claim
    if not claim.take(take_over=take_over):
        stale = " Its owner has died: give --take-over to go on with it." if claim.is_stale() else ""
        print(f"{run.title}: claimed by {claim.describe()}.{stale}", flush=True)
        return "claimed"
    with claim:
        if run.record_file.is_file():
            return "done"
        run.failure_file.unlink(missing_ok=True)
        run.write_order(**details)
        print(f"{run.title}: started, {run.log_file}", flush=True)
        started = time.monotonic()
        code = _run_process(run, environment)
        minutes = (time.monotonic() - started) / 60
        if code == 0 and run.record_file.is_file():
            print(f"{run.title}: done in {minutes:.1f} min", flush=True)
            return "done"
        write_whole_json(run.failure_file, {"exit_code": code, "log": str(run.log_file)})
        print(f"{run.title}: FAILED with exit code {code} after {minutes:.1f} min, see {run.log_file}", flush=True)
        return "failed"


def _run_process(run: Run, environment: Mapping[str, str]) -> int:
    """Execute a run in a process of its own; returns its exit code."""
    command = [sys.executable, "-m", _MODULE, str(run.folder), "--parent", str(os.getpid())]
    with run.log_file.open("a", encoding="utf-8") as log:
        process = subprocess.Popen(command, cwd=REPOSITORY, env=dict(environment), stdout=log, stderr=subprocess.STDOUT)
        try:
            return process.wait()
        finally:
            # Where this process is told to end, and for workers that a killed process has left behind.
            _kill_group(process)


def _kill_group(process: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    # It may not have made its group yet.
    process.kill()
    process.wait()
