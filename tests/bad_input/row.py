"""A bad input, the commands that catch it and what they say; and running a command as a user would, in this process."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from nnunetv2.run.run_training import run_training_entry

import nnunetv2_dycon
from nnunetv2_dycon import trainers
from nnunetv2_dycon.commands.main import main
from nnunetv2_dycon.training.trainer import nnUNetTrainerSemiSupervised
from tests.conftest import Workspace

TRAIN = "nnUNetv2_train 501 3d_fullres 0 -tr nnUNetTrainerDyCON_1epoch -p nnUNetPlansSmall -device cpu"
DOCTOR = "doctor -d 501 -p nnUNetPlansSmall"
PREPROCESS = "preprocess -d 501 -p nnUNetPlansSmall -np 1"
PLAN = "plan -d 501 -p nnUNetPlansSmall -o nnUNetPlansNew uncl_weight=2"
SIMULATE = "simulate -d 501 -o 601 -n 2"
PSEUDO_LABEL = "pseudo-label -d 501 -i PREDICTIONS -o 601"
DETERMINE_POSTPROCESSING = "determine-postprocessing -d 501 -o postprocessing.pkl"
SELF_TRAIN = "self-train -d 501 -o 601 -p nnUNetPlansSmall -device cpu"
EXPORT = "export -d 501 -p nnUNetPlansSmall -o MODEL"
SCANS = "nnUNet_raw/Dataset501_Tiny/imagesTs"
UNCERTAINTY = f"uncertainty -d 501 -p nnUNetPlansSmall -i {SCANS} -o PREDICTED -device cpu"
RANK = "rank -d 501 -p nnUNetPlansSmall -device cpu"
ADD_LABELS = "add-labels -d 501 -i FINISHED"
DEMO = "demo -o DEMO"


@dataclass(frozen=True)
class Place:
    """Where a bad input is put: the planned dataset, whose root is the working directory of commands."""

    workspace: Workspace
    monkeypatch: pytest.MonkeyPatch


Prepare = Callable[[Place], object]


def nothing(place: Place) -> None:
    """For bad arguments, to which no file belongs."""


@dataclass(frozen=True)
class Row:
    """A row of the page.

    Attributes:
        what: the bad input, in words.
        commands: each of them is run and must refuse it. Those of ``nnunetv2_dycon`` without that name.
        message: what they say; ``...`` stands for what is left out.
        prepare: puts the bad input where it belongs.
        exit_code: 1, or 2 for wrong usage.
    """

    what: str
    commands: Sequence[str]
    message: str
    prepare: Prepare = nothing
    exit_code: int = 1

    def __str__(self) -> str:
        return self.what

    def names(self) -> list[str]:
        """The commands' names, once each."""
        return list(dict.fromkeys(command.split()[0] for command in self.commands))

    def matches(self, output: str) -> bool:
        """Whether an output has the message."""
        pattern = ".*".join(re.escape(part) for part in re.split(r" ?\.\.\. ?", self.message))
        return re.search(pattern, " ".join(output.split()), flags=re.DOTALL) is not None


class TheFirstEpochBeganError(Exception):
    """Nothing was refused."""


def is_one_message(err: str, exit_code: int) -> bool:
    """Whether standard error has an error's message, beside progress bars, and no traceback."""
    start = "usage: " if exit_code == 2 else "Error: "
    return "Traceback" not in err and re.search(f"^{start}", err, flags=re.MULTILINE) is not None


def command_with_full_stop(text: str) -> str | None:
    """A command with options in a text that the full stop of its sentence follows, which would be pasted with it."""
    command = r"(?:nnUNetv2_\w+|nnunetv2_dycon [\w-]+)(?: +[\w./-]+)*? --?\w+(?: [\w./-]+)*\.(?=\s|$)"
    found = re.search(command, text, flags=re.MULTILINE)
    return None if found is None else found[0]


def run(command: str, place: Place) -> tuple[int, str, str]:
    """Run a command line in this process, by the function that is installed as the command.

    Returns:
        Exit code, standard output and standard error.
    """
    name, *arguments = shlex.split(command)
    out, err = io.StringIO(), io.StringIO()
    place.monkeypatch.chdir(place.workspace.root)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        if name == "nnUNetv2_train":
            code = _train(arguments, place.monkeypatch)
        else:
            try:
                code = main([name, *arguments])
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
    return code, out.getvalue(), err.getvalue()


def _train(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    def begin(_: nnUNetTrainerSemiSupervised) -> None:
        raise TheFirstEpochBeganError

    with monkeypatch.context() as patch:
        # A process of the command imports the trainers anew, and sets its hook then.
        patch.delitem(sys.modules, trainers.__name__)
        patch.setattr(nnunetv2_dycon, "trainers", trainers)
        patch.setattr(sys, "argv", ["nnUNetv2_train", *arguments])
        patch.setattr(sys, "excepthook", sys.__excepthook__)
        patch.setattr(nnUNetTrainerSemiSupervised, "on_train_epoch_start", begin)
        try:
            run_training_entry()
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else 1
        except TheFirstEpochBeganError:
            raise
        except Exception as error:  # noqa: BLE001 (what the interpreter does with it is tested)
            sys.excepthook(type(error), error, error.__traceback__)
            return 1
    return 0


def write(file: Path, content: str | bytes) -> None:
    """Write a file, with its folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
