"""Diagnosis of an installation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nnunetv2_dycon import __version__
from nnunetv2_dycon.diagnosis.installation import diagnose_installation
from nnunetv2_dycon.registration import export_line

if TYPE_CHECKING:
    from tests.conftest import Workspace


def problems() -> list[str]:
    return [finding.text for finding in diagnose_installation() if finding.is_problem]


@pytest.mark.usefixtures("workspace")
def test_a_good_installation_has_no_problem() -> None:
    texts = [finding.text for finding in diagnose_installation()]
    assert problems() == []
    assert f"nnunetv2_dycon {__version__}" in texts[0]
    assert "torch " in texts[0]
    assert "nnunetv2 2." in texts[0]
    assert texts[-1].startswith("no CUDA GPU")


@pytest.mark.usefixtures("workspace")
def test_a_lost_registration_is_told_with_the_line_that_repairs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_extTrainer", "/somewhere/else")
    registration, lookup = problems()
    assert registration.endswith(export_line())
    assert "nnUNetTrainerDyCON" in lookup


@pytest.mark.parametrize("name", ["nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"])
def test_folders_that_are_not_set_or_not_there_are_named(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    missing = workspace.root / "nowhere"
    monkeypatch.setenv(name, str(missing))
    assert problems() == [f"{name}={missing} is not there: make the folder or correct the variable"]
    monkeypatch.setenv(name, "")
    assert problems() == [f'{name} is not set: export {name}="/path/to/{name}"']
    monkeypatch.delenv(name)
    assert problems() == [f'{name} is not set: export {name}="/path/to/{name}"']
