from __future__ import annotations

import os

import pytest

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.nnunet_command import run_nnunet_command


def test_prints_and_runs_the_command(capfd: pytest.CaptureFixture[str]) -> None:
    run_nnunet_command("python", "-c", "import os; print(os.environ['DEMO'])", environment={**os.environ, "DEMO": "on"})
    output = capfd.readouterr().out
    assert output.startswith("$ python -c 'import os;")
    assert output.endswith("\non\n")


def test_failure_names_the_command() -> None:
    with pytest.raises(UserError, match=r"exit code 3.*\n  python -c 'exit\(3\)'"):
        run_nnunet_command("python", "-c", "exit(3)", environment=os.environ)


def test_missing_command_says_what_to_install() -> None:
    with pytest.raises(UserError, match=r"no nnUNetv2_fly in .* install nnunetv2"):
        run_nnunet_command("nnUNetv2_fly", environment=os.environ)
