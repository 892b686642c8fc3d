"""The command line: help, usage and exit codes."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from types import ModuleType

import pytest

from nnunetv2_dycon import __version__
from nnunetv2_dycon.commands import doctor, uncertainty
from nnunetv2_dycon.commands.main import COMMANDS, build_parser, main
from nnunetv2_dycon.processes import EXIT_CODE


def exit_code(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as error:
        main(arguments)
    return error.value.code


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.NAME)
def test_every_command_has_help(command: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(command.NAME, "--help") == 0
    output = capsys.readouterr().out
    assert output.startswith(f"usage: nnunetv2_dycon {command.NAME} ")
    parser = argparse.ArgumentParser(prog=command.NAME)
    command.add_arguments(parser)
    for action in parser._actions:
        assert action.help, action.dest


def test_the_help_lists_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--help") == 0
    output = capsys.readouterr().out
    for command in COMMANDS:
        assert f"\n    {command.NAME}" in output
    assert "nnUNetv2_train" in output


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--version") == 0
    assert capsys.readouterr().out == f"nnunetv2_dycon {__version__}\n"


@pytest.mark.parametrize("arguments", [(), ("no_command",), ("preprocess",), ("preprocess", "-d", "501", "-np", "few")])
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(*arguments) == 2
    assert capsys.readouterr().err.startswith("usage: ")


def test_an_unknown_option_is_answered_with_the_usage_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("doctor", "-o", "501", "--nothing") == 2
    captured = capsys.readouterr().err
    assert captured.startswith("usage: nnunetv2_dycon doctor [-h]")
    assert captured.endswith("error: unrecognized arguments: -o 501 --nothing\n")


@pytest.mark.parametrize("from_the_process", [False, True])
def test_without_arguments_the_help_is_printed(
    from_the_process: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["nnunetv2_dycon"])
    with pytest.raises(SystemExit) as error:
        main(None if from_the_process else [])
    assert error.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == build_parser().format_help()


def test_defaults_are_those_of_nnunet() -> None:
    for command, *options in (["preprocess"], ["plan"], ["doctor"], ["self-train", "-o", "502"]):
        parsed = build_parser().parse_args([command, "-d", "501", *options])
        assert (parsed.p, parsed.c) in [("nnUNetPlans", "3d_fullres"), ("nnUNetPlans", ["3d_fullres"])]


@pytest.mark.usefixtures("workspace")
def test_an_error_of_the_user_is_one_message_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preprocess", "-d", "501", "-p", "nnUNetPlansX"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Error: ")
    assert "nnUNetPlansX.json is not there" in captured.err


@pytest.mark.parametrize(
    ("command", "arguments", "advice"),
    [
        (doctor, [], "Run the same command again."),
        (
            uncertainty,
            ["-d", "501", "-i", "in", "-o", "out"],
            "Run the same command again, with --continue_prediction.",
        ),
    ],
)
def test_a_signal_is_answered_by_how_to_go_on(
    command: ModuleType,
    arguments: list[str],
    advice: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command, "run", lambda _: os.kill(os.getpid(), signal.SIGTERM))
    assert main([command.NAME, *arguments]) == EXIT_CODE
    assert capsys.readouterr().err == f"Stopped by SIGTERM. {advice}\n"


def test_output_that_nobody_reads_is_no_traceback() -> None:
    reads, writes = os.pipe()
    os.close(reads)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "nnunetv2_dycon.commands.main", "plan"],
            stdout=writes,
            stderr=subprocess.PIPE,
            text=True,
            timeout=300,
            check=False,
        )
    finally:
        os.close(writes)
    assert (done.returncode, done.stderr) == (1, "")
