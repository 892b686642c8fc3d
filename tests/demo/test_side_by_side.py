from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from nnunetv2_dycon.demo import side_by_side
from nnunetv2_dycon.demo.side_by_side import epoch_lines, train_side_by_side
from nnunetv2_dycon.exceptions import UserError

PRINTED = """\
Using device: cpu
2026-01-01 10:00:00.000000: Epoch 0
2026-01-01 10:00:00.000000: Current learning rate: 0.01
2026-01-01 10:00:09.000000: train_loss -0.1453
2026-01-01 10:00:09.000000: Epoch time: 9.0 s
2026-01-01 10:00:09.000000: Epoch 1
2026-01-01 10:00:18.000000: train_loss 0.25
"""


@pytest.fixture
def python_for_a_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts take the place of trainings, which take long."""
    monkeypatch.setattr(side_by_side, "command_line", lambda _, *arguments: [sys.executable, "-u", "-c", *arguments])


def test_one_line_an_epoch() -> None:
    assert list(epoch_lines(iter(PRINTED.splitlines(keepends=True)), 2)) == [
        "epoch   1 of 2, nnU-Net's training loss -0.145",
        "epoch   2 of 2, nnU-Net's training loss  0.250",
    ]


@pytest.mark.usefixtures("python_for_a_training")
def test_trainings_run_at_the_same_time_and_show_their_epochs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Each waits for what the other does first.
    script = (
        "import pathlib, sys, time\n"
        "pathlib.Path('{mine}').touch()\n"
        "while not pathlib.Path('{other}').exists(): time.sleep(0.01)\n"
        "print('Epoch 0\\ntrain_loss -0.5')\n"
    )
    first, second = tmp_path / "first", tmp_path / "second"
    seconds = train_side_by_side(
        {
            "nnU-Net": (script.format(mine=first, other=second),),
            "DyCON": (script.format(mine=second, other=first),),
        },
        epochs=1,
        logs=tmp_path / "logs",
        environment=os.environ,
    )
    assert list(seconds) == ["nnU-Net", "DyCON"]
    printed = capsys.readouterr().out
    assert "nnU-Net | epoch   1 of 1, nnU-Net's training loss -0.500" in printed
    assert "DyCON   | epoch   1 of 1, nnU-Net's training loss -0.500" in printed
    assert (tmp_path / "logs" / "DyCON.txt").read_text() == "Epoch 0\ntrain_loss -0.5\n"


@pytest.mark.usefixtures("python_for_a_training")
def test_one_that_fails_ends_the_other_and_says_why(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(UserError, match=r"training of nnU-Net ended with exit code 1:(.|\n)*ZeroDivisionError"):
        train_side_by_side(
            {"DyCON": ("import time; time.sleep(60)",), "nnU-Net": ("1 / 0",)},
            epochs=1,
            logs=tmp_path / "logs",
            environment=os.environ,
        )
    assert time.monotonic() - started < 30
