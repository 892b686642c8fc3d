"""Options of the subcommands: one name, one metavar, one order and one way to say a default."""

from __future__ import annotations

import argparse
import re
from types import ModuleType

import pytest

from nnunetv2_dycon.commands.main import COMMANDS

# What several commands take, in the order of the help.
IN_ORDER = ("-d", "-c", "-tr", "-p", "-f", "-i", "-o")
LAST = ("-device", "-np", "-npp")
METAVARS = {
    "-d": {"DATASET"},
    "-c": {"CONFIGURATION"},
    "-tr": {"TRAINER"},
    "-tr2": {"TRAINER"},
    "-p": {"PLANS"},
    "-f": {"FOLD"},
    "-i": {"FOLDER"},
    "-o": {"FOLDER", "FILE", "FILE_OR_FOLDER", "DATASET", "PLANS"},
    "-m": {"FOLDER"},
    "-n": {"N"},
    "-np": {"N"},
    "-npp": {"N"},
    "-chk": {"FILE"},
}
# nnU-Net's parser reads the options of train.
WITH_OPTIONS = [command for command in COMMANDS if command.NAME != "train"]


def options_of(command: ModuleType) -> list[argparse.Action]:
    parser = argparse.ArgumentParser(add_help=False)
    command.add_arguments(parser)
    return [action for action in parser._actions if action.option_strings]


@pytest.fixture(params=WITH_OPTIONS, ids=lambda command: command.NAME)
def options(request: pytest.FixtureRequest) -> list[argparse.Action]:
    return options_of(request.param)


def test_an_option_has_one_name(options: list[argparse.Action]) -> None:
    for option in options:
        assert len(option.option_strings) == 1
        assert option.dest == option.option_strings[0].lstrip("-").replace("-", "_")


def test_the_same_option_has_the_same_metavar(options: list[argparse.Action]) -> None:
    for option in options:
        (name,) = option.option_strings
        if name in METAVARS:
            assert option.metavar in METAVARS[name], name


def test_shared_options_come_first_and_device_and_processes_last(options: list[argparse.Action]) -> None:
    names = [option.option_strings[0] for option in options]
    first, last = [name for name in IN_ORDER if name in names], [name for name in LAST if name in names]
    own = [name for name in names if name not in (*IN_ORDER, *LAST)]
    assert names == [*first, *own, *last]


def test_help_says_defaults_in_one_way(options: list[argparse.Action]) -> None:
    for option in options:
        text = option.help % vars(option)
        assert "REQUIRED" not in text
        assert not re.search(r"(?<!\()default", text, re.IGNORECASE), text
        assert not text.endswith("."), text
        if isinstance(option.default, str | int | float) and not isinstance(option.default, bool):
            assert f"(default: {option.default})" in text


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.NAME)
def test_the_main_help_has_one_short_line(command: ModuleType) -> None:
    assert len(command.HELP) <= 110
    assert command.HELP[0].islower()
    assert not re.search(r"\w\. |\.$", command.HELP.removesuffix("..."))


def test_the_usage_shows_that_one_of_two_is_required() -> None:
    (simulate,) = (command for command in COMMANDS if command.NAME == "simulate")
    parser = argparse.ArgumentParser()
    simulate.add_arguments(parser)
    assert "(-d DATASET | -i FOLDER) -o DATASET -n N" in parser.format_usage()
