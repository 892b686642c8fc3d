"""``nnunetv2_dycon doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nnunetv2_dycon.commands.main import main

if TYPE_CHECKING:
    from tests.conftest import Workspace


def test_a_good_installation_and_dataset(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "-d", "501"]) == 0
    output = capsys.readouterr().out
    assert "[problem]" not in output
    assert "[ok] nnU-Net finds nnUNetTrainerDyCON\n" in output
    assert f"[ok] nnUNet_raw={workspace.raw.parent}\n" in output
    assert "[ok] 6 labeled and 4 unlabeled cases\n" in output


@pytest.mark.usefixtures("workspace")
def test_problems_are_counted_and_end_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("nnUNet_results")
    assert main(["doctor", "-d", "501", "-p", "nnUNetPlansX"]) == 1
    captured = capsys.readouterr()
    assert captured.out.count("[problem]") == 2
    assert captured.err == "Error: 2 problem(s), marked above.\n"


@pytest.mark.usefixtures("workspace")
def test_without_a_dataset_none_is_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    assert "Dataset501" not in capsys.readouterr().out
