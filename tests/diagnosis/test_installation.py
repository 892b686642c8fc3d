"""Diagnosis of an installation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nnunetv2_dycon import __version__
from nnunetv2_dycon.diagnosis.installation import diagnose_installation
from nnunetv2_dycon.registration import export_line

if TYPE_CHECKING:
    from tests.conftest import Workspace


def installation_problems() -> list[str]:
    return [finding.text for finding in diagnose_installation() if finding.is_problem]


def to_do() -> list[str]:
    return [str(finding) for finding in diagnose_installation() if finding.is_to_do]


@pytest.mark.usefixtures("workspace")
def test_a_good_installation_has_no_problem() -> None:
    texts = [finding.text for finding in diagnose_installation()]
    assert installation_problems() == []
    assert f"nnunetv2_dycon {__version__}" in texts[0]
    assert "torch " in texts[0]
    assert "nnunetv2 2." in texts[0]
    assert texts[-1].startswith("no CUDA GPU")


@pytest.mark.usefixtures("workspace")
def test_a_lost_registration_is_told_with_the_line_that_repairs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_extTrainer", "/somewhere/else")
    (registration,) = installation_problems()
    assert registration.endswith(export_line())


@pytest.mark.parametrize("name", ["nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"])
def test_folders_that_are_not_set_or_not_there_are_named(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    missing = workspace.root / "nowhere"
    monkeypatch.setenv(name, str(missing))
    make = f"[to do] {name}={missing} is not there: make the folder or correct the variable"
    # nnU-Net makes the others where it can.
    assert to_do() == ([make] if name == "nnUNet_raw" else [])
    (workspace.root / "file").touch()
    (workspace.root / "link").symlink_to("unmounted")
    for place in ("file/nowhere", "file", "link"):
        monkeypatch.setenv(name, str(workspace.root / place))
        assert to_do() == [make.replace("nowhere", place)]
    not_set = (
        f'[to do] {name} is not set: before nnU-Net can use data, choose a folder: export {name}="/path/to/{name}"'
    )
    monkeypatch.setenv(name, "")
    assert to_do() == [not_set]
    monkeypatch.delenv(name)
    assert to_do() == [not_set]
    assert installation_problems() == []
