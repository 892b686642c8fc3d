from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from nnunetv2_dycon import registration
from nnunetv2_dycon.registration import export_line, external_trainers_folder, register

VARIABLE = "nnUNet_extTrainer"


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    # Set first, so that monkeypatch also takes away what register sets.
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.delenv(VARIABLE)


def test_folder_holds_nothing_but_the_shim() -> None:
    folder = Path(external_trainers_folder())
    assert folder.is_absolute()
    assert {file.name for file in folder.iterdir()} - {"__pycache__"} == {"__init__.py", "nnunetv2_dycon_trainers.py"}


def test_registers_when_nothing_is_set() -> None:
    register()
    assert os.environ[VARIABLE] == external_trainers_folder()


def test_registers_when_the_variable_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")
    register()
    assert os.environ[VARIABLE] == external_trainers_folder()


def test_folders_of_the_user_stay_in_front(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, os.pathsep.join(["/second", "/first"]))
    register()
    assert os.environ[VARIABLE].split(os.pathsep) == ["/second", "/first", external_trainers_folder()]


def test_registers_once() -> None:
    register()
    once = os.environ[VARIABLE]
    register()
    assert os.environ[VARIABLE] == once


@pytest.mark.parametrize("neighbours", [["{}", "/other"], ["/other", "{}"], ["/a", "{}", "/b"]])
def test_place_given_by_the_user_is_kept(monkeypatch: pytest.MonkeyPatch, neighbours: list[str]) -> None:
    before = os.pathsep.join(neighbours).format(external_trainers_folder())
    monkeypatch.setenv(VARIABLE, before)
    register()
    assert os.environ[VARIABLE] == before


def test_folder_that_only_starts_alike_is_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, external_trainers_folder() + "_of_mine")
    register()
    assert os.environ[VARIABLE].split(os.pathsep)[1:] == [external_trainers_folder()]


@pytest.mark.skipif(os.name == "nt", reason="the line is for a POSIX shell")
@pytest.mark.parametrize("folder", ["/plain", '/with space/it\'s $HOME/`id`/"quoted"'])
@pytest.mark.parametrize("before", [None, "", "/of the/user", "/a:/b"])
def test_export_line_does_what_register_does(monkeypatch: pytest.MonkeyPatch, folder: str, before: str | None) -> None:
    monkeypatch.setattr(registration, "external_trainers_folder", lambda: folder)
    if before is not None:
        monkeypatch.setenv(VARIABLE, before)
    script = f"set -eu\n{export_line()}\nprintenv {VARIABLE}"
    shell = subprocess.run(["sh", "-c", script], check=True, capture_output=True, text=True)
    register()
    assert shell.stdout.removesuffix("\n") == os.environ[VARIABLE]
    assert shell.stderr == ""
