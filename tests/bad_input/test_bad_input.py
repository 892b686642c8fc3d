"""Every bad input of documentation/bad_input.md, through real command lines."""

from __future__ import annotations

import pytest

from tests.bad_input.page import ACCEPTED, PAGE, REFUSED, render
from tests.bad_input.row import Place, Row, command_with_full_stop, is_one_message, run
from tests.conftest import Workspace


@pytest.fixture
def place(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(workspace, monkeypatch)


@pytest.mark.parametrize("row", REFUSED, ids=str)
def test_it_is_refused_in_a_sentence_before_the_first_epoch(row: Row, place: Place) -> None:
    row.prepare(place)
    for command in row.commands:
        code, out, err = run(command, place)
        assert code == row.exit_code, f"{command}\n{out}\n{err}"
        found = out + err if command.split()[0] == "doctor" else err
        assert row.matches(found), f"{command}\n{out[-2000:]}\n{err}"
        assert "Traceback" not in out, command
        assert command_with_full_stop(found) is None, f"{command}\n{found}"
        # What comes next in a first hour is no error of the doctor's.
        is_to_do = "\n[to do] " in found and found.endswith("What is marked [to do] comes next.\n")
        assert is_to_do or is_one_message(err, code), f"{command}\n{err}"


def test_a_command_at_the_end_of_a_sentence_is_found() -> None:
    assert command_with_full_stop("no data: run nnUNetv2_preprocess -d 501 -c 2d -plans_name nnUNetPlans.\n")
    assert command_with_full_stop("no data: run nnUNetv2_preprocess -d 501 -c 2d -plans_name nnUNetPlans") is None
    assert command_with_full_stop("run nnUNetv2_train -p x.json again, or nnunetv2_dycon plan.") is None


@pytest.mark.parametrize("row", ACCEPTED, ids=str)
def test_it_is_accepted(row: Row, place: Place) -> None:
    row.prepare(place)
    for command in row.commands:
        code, out, err = run(command, place)
        assert code == row.exit_code == 0, f"{command}\n{out}\n{err}"
        assert row.matches(out), f"{command}\n{out}"


def test_the_page_has_these_rows() -> None:
    assert PAGE.read_text() == render(), "run: python -m tests.bad_input.page"


def test_there_are_enough_rows_and_each_once() -> None:
    names = [row.what for row in (*REFUSED, *ACCEPTED)]
    assert len(names) == len(set(names))
    assert len(REFUSED) >= 60
