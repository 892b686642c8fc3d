"""Commands of the environment, each in a new process that has nnU-Net's dependencies imported already.

An installed command imports PyTorch and what else nnU-Net needs for seconds before its first line, and so does each
worker that it spawns. Here one process imports them once and forks for each command, and for each worker of a command
of nnU-Net. Everything of nnU-Net and of this package, which read the environment when they are imported, is imported by
the command and by the worker itself.
All commands share one seed of Python's hashes, and Python's own variables, such as PYTHONPATH, are those of the tests:
a command that is given others takes a process of its own.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import multiprocessing.connection
import multiprocessing.context
import multiprocessing.forkserver
import os
import runpy
import shutil
import signal
import site
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
# All that takes long to import and starts no thread, which a fork would lose (blosc2 does).
MODULES = ("torch", "torch._dynamo", "sklearn.model_selection", "seaborn", "matplotlib.pyplot", "skimage", "SimpleITK")
START_UP_FILE = "nnunetv2_dycon.pth"
END, BUFFER = b"\n", 1 << 16


def run_command(name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Run an installed command; returns its exit code and all that it wrote, to stdout and stderr."""
    for variable in {*environment, *os.environ}:
        if variable.startswith(("PYTHON", "MPL", "MATPLOTLIB")):
            assert environment.get(variable) == os.environ.get(variable), f"{variable} would not be read anew"
    executable = shutil.which(name, path=str(Path(sys.executable).parent))
    assert executable is not None, f"{name} is not installed"
    request = {"argv": [executable, *arguments], "environment": dict(environment), "folder": os.getcwd()}
    with tempfile.TemporaryFile("w+") as output:
        server = _Server.running()
        socket.send_fds(server.connection, [json.dumps(request).encode() + END], [output.fileno()])
        try:
            exit_code = server.connection.recv(16)
        except BaseException:
            # Its answer would be taken for the next command's.
            server.stop()
            raise
        assert exit_code, "the process that runs commands is gone"
        output.seek(0)
        return int(exit_code), output.read()


class _Server:
    """The process that forks, and a connection to it."""

    _running: _Server | None = None

    def __init__(self) -> None:
        self.connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            command = [sys.executable, "-m", __name__, str(theirs.fileno())]
            options = {"pass_fds": [theirs.fileno()], "stdin": subprocess.DEVNULL, "start_new_session": True}
            self._process = subprocess.Popen(command, cwd=REPOSITORY, **options)
        atexit.register(self.stop)

    @classmethod
    def running(cls) -> _Server:
        """The one of this process."""
        if cls._running is not None and cls._running._process.poll() is not None:
            cls._running.stop()
        if cls._running is None:
            cls._running = cls()
        return cls._running

    def stop(self) -> None:
        """End it with the command that it runs, and all that this has started."""
        _Server._running = None
        atexit.unregister(self.stop)
        self.connection.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _serve(client: socket.socket) -> list[str]:
    """Fork for each request; returns, in the forked process alone, the command line to run."""
    while True:
        request, files, _, _ = socket.recv_fds(client, BUFFER, 1)
        while not request.endswith(END):
            received = client.recv(BUFFER)
            if not received:
                sys.exit(0)
            request += received
        child = os.fork()
        if child == 0:
            client.close()
            return _become(json.loads(request), files[0])
        os.close(files[0])
        _, status = os.waitpid(child, 0)
        # The test may be gone.
        with contextlib.suppress(BrokenPipeError):
            client.send(str(os.waitstatus_to_exitcode(status)).encode())


def _fork_workers_that_are_spawned() -> None:
    """Let multiprocessing's spawned workers fork from a copy of this process, by the server that forks for it.

    They get what a spawned worker gets, pickled, but of variables those of now, and that server is their parent. So it
    is for nnU-Net's own commands: workers of ours look whether their parent is there.
    """
    if sys.version_info >= (3, 14):
        return  # Its server asks for a key.
    address = multiprocessing.connection.arbitrary_address("AF_UNIX")
    alive_reader, alive_writer = os.pipe()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        server_process = os.fork()
        if server_process == 0:
            os.close(alive_writer)
            try:
                multiprocessing.forkserver.main(listener.detach(), alive_reader, preload=None)
            finally:
                os._exit(0)
    os.close(alive_reader)
    server = multiprocessing.forkserver._forkserver
    server._forkserver_address, server._forkserver_alive_fd = address, alive_writer
    server._forkserver_pid = server_process
    contexts = multiprocessing.context._concrete_contexts
    contexts["spawn"] = contexts["forkserver"]


def _become(request: dict, output: int) -> list[str]:
    """What a new process would have: output, folder, variables, a search path and random numbers of its own."""
    for stream in (1, 2):
        os.dup2(output, stream)
    os.close(output)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    argv: list[str] = request["argv"]
    sys.path[0] = str(Path(argv[0]).parent)
    # As Python does at its start, with the variables of the command.
    site.addpackage(sysconfig.get_path("purelib"), START_UP_FILE, None)
    importlib.import_module("numpy").random.seed()
    if Path(argv[0]).name.startswith("nnUNetv2_"):
        _fork_workers_that_are_spawned()
    return argv


if __name__ == "__main__":
    for module in MODULES:
        importlib.import_module(module)
    sys.argv = _serve(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_path(sys.argv[0], run_name="__main__")
