"""What the command lines of benchmarks share."""

from __future__ import annotations

import pytest

from benchmarks.common.command_line import exit_code_of, make_parser
from nnunetv2_dycon.exceptions import UserError


def test_the_help_has_the_program_and_the_lines_of_its_docstring(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        make_parser("benchmarks.losses", "One line.\n\n    Another one.\n").parse_args(["--help"])
    output = capsys.readouterr().out
    assert output.startswith("usage: python -m benchmarks.losses [-h]")
    assert "One line.\n\n    Another one.\n" in output


def test_errors_of_the_user_end_with_1_and_their_message(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise UserError("--cases must be between 1 and 2, and is 3")

    assert exit_code_of(fail) == 1
    assert capsys.readouterr().err == "Error: --cases must be between 1 and 2, and is 3\n"


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (3, 3)])
def test_the_exit_code_is_that_of_the_work(returned: int | None, code: int) -> None:
    assert exit_code_of(lambda: returned) == code


def test_other_errors_are_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        exit_code_of(lambda: 1 // 0)
