from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.label_efficiency import datasets
from benchmarks.label_efficiency.claims import Claim
from benchmarks.label_efficiency.datasets import BudgetDataset, Source, prepare_budget_dataset, read_source
from benchmarks.label_efficiency.presets import PRESETS
from benchmarks.label_efficiency.runs import Workspace
from nnunetv2_dycon.exceptions import UserError

PRESET = PRESETS["hippocampus"]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty one."""
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def source(source_folder: Path, workspace: Workspace) -> Source:
    """The tiny dataset."""
    return read_source(source_folder, workspace)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The budgets whose datasets were made, without making any."""
    budgets: list[str] = []
    name = "Dataset501_Tiny"
    monkeypatch.setattr(datasets, "_make_budget_dataset", lambda *arguments: budgets.append(arguments[2]) or name)
    return budgets


def test_labeled_and_unlabeled_cases_of_a_budget(source: Source) -> None:
    assert source.labeled("2") + source.unlabeled("2") == source.protocol.train
    assert len(source.labeled("2")) == 2
    assert source.labeled("all") == source.protocol.train
    assert source.unlabeled("all") == ()
    assert source.protocol.test == ("demo_005", "demo_006")


def test_workspace_follows_one_protocol(source_folder: Path, source: Source, workspace: Workspace) -> None:
    content = json.loads(source.protocol_file.read_text())
    source.protocol_file.write_text(json.dumps({**content, "train": content["train"][::-1]}))
    with pytest.raises(UserError, match="differs from the protocol"):
        read_source(source_folder, workspace)


def test_a_dataset_is_made_once_and_for_one_preset(source: Source, workspace: Workspace, made: list[str]) -> None:
    first = prepare_budget_dataset(workspace, source, "2", PRESET, {})
    assert first == BudgetDataset("Dataset501_Tiny", source.labeled("2"), source.unlabeled("2"), source.protocol.test)
    assert prepare_budget_dataset(workspace, source, "2", PRESET, {}) == first
    assert made == ["2"]
    with pytest.raises(UserError, match="made with other plans"):
        prepare_budget_dataset(workspace, source, "2", replace(PRESET, batch_size=5), {})


def test_processes_wait_for_one_another(
    source: Source, workspace: Workspace, made: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    claim = Claim(workspace.root / "datasets" / "preparing.claim")
    found: list[BudgetDataset] = []
    thread = threading.Thread(
        target=lambda: found.append(prepare_budget_dataset(workspace, source, "2", PRESET, environment={}))
    )
    assert claim.take()
    with claim:
        thread.start()
        thread.join(timeout=3)
        assert thread.is_alive()
        assert not made
    thread.join(timeout=20)
    assert [each.name for each in found] == ["Dataset501_Tiny"]
    assert made == ["2"]
    assert "Waiting for process" in capsys.readouterr().out
