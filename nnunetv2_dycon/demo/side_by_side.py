"""Running several of nnU-Net's trainings at the same time, with a line for each of their epochs."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.nnunet_command import command_line, print_command

# nnU-Net begins what it prints with the time of day, except for a few lines.
_EPOCH = re.compile(r"Epoch (\d+)\s*$")
_LOSS = re.compile(r"train_loss (\S+)")
_LINES_OF_AN_ERROR = 25


def epoch_lines(output: Iterator[str], epochs: int) -> Iterator[str]:
    """Sum up what nnUNetv2_train prints: one line an epoch, with nnU-Net's training loss.

    Args:
        output: the lines of the command.
        epochs: how many there will be.
    """
    epoch = 0
    for line in output:
        if match := _EPOCH.search(line):
            epoch = int(match[1]) + 1
        elif match := _LOSS.search(line):
            yield f"epoch {epoch:3d} of {epochs}, nnU-Net's training loss {float(match[1]):6.3f}"


def train_side_by_side(
    commands: Mapping[str, tuple[str | Path, ...]], *, epochs: int, logs: Path, environment: Mapping[str, str]
) -> dict[str, float]:
    """Run ``nnUNetv2_train`` several times at once and print a line for each epoch of each.

    The whole output goes to ``TITLE.txt`` in the folder of logs. When one fails, or this process is interrupted, the
    others are ended.

    Args:
        commands: arguments of each training by its title.
        epochs: of each.
        logs: a folder, to be made.
        environment: the whole one of the commands.

    Returns:
        How many seconds each took, by its title.

    Raises:
        UserError: if one fails.
    """
    logs.mkdir(parents=True)
    processes: dict[str, Popen[str]] = {}
    width = max(map(len, commands))
    started = time.monotonic()

    def follow(title: str) -> float:
        last: deque[str] = deque(maxlen=_LINES_OF_AN_ERROR)
        with (logs / f"{title}.txt").open("w", encoding="utf-8") as log, processes[title] as process:

            def output() -> Iterator[str]:
                for line in process.stdout or ():
                    log.write(line)
                    last.append(line)
                    yield line

            for text in epoch_lines(output(), epochs):
                print(f"{title:{width}} | {text}", flush=True)
        if process.returncode != 0:
            shown = "".join(last)
            raise UserError(f"the training of {title} ended with exit code {process.returncode}:\n{shown}")
        return time.monotonic() - started

    try:
        for title, arguments in commands.items():
            print_command("nnUNetv2_train", *arguments)
            line = command_line("nnUNetv2_train", *arguments)
            processes[title] = Popen(line, env=dict(environment), stdout=PIPE, stderr=STDOUT, text=True)
        with ThreadPoolExecutor(len(processes)) as threads:
            futures = {threads.submit(follow, title): title for title in processes}
            try:
                seconds = {futures[future]: future.result() for future in as_completed(futures)}
            except BaseException:
                # Leaving this block waits for the threads, which wait for the trainings.
                _end(processes)
                raise
        return {title: seconds[title] for title in commands}
    finally:
        _end(processes)


def _end(processes: Mapping[str, Popen[str]]) -> None:
    for process in processes.values():
        if process.poll() is None:
            process.terminate()
