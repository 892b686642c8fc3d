"""An empty nnUNet_raw, and LA as it was released."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnunetv2_dycon.conversion.published_splits import read_published_split
from tests.conversion import sources
from tests.conversion.sources import write_source


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty nnUNet_raw."""
    monkeypatch.delenv("nnUNet_preprocessed", raising=False)
    monkeypatch.delenv("nnUNet_results", raising=False)
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    (tmp_path / "raw").mkdir()
    return tmp_path / "raw"


@pytest.fixture
def la(raw: Path, tmp_path: Path) -> Path:
    """LA as the challenge released it."""
    write_source(tmp_path / "la", read_published_split("la", "ua-mt"), sources.write_la_nrrd, (1,), garbage=())
    assert not list(raw.iterdir())
    return tmp_path / "la" / "Training Set"
