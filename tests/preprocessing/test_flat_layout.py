"""What version 0.1 preprocessed is used."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nnunetv2_dycon.preprocessing.prepare_unlabeled_data import UnlabeledData
from tests.preprocessing.unlabeled_scans import change_scan, scan_of

if TYPE_CHECKING:
    from tests.conftest import Workspace

Prepare = Callable[..., UnlabeledData]
CASES = ["demo_006", "demo_007", "demo_008", "demo_009"]


@pytest.fixture
def flat(prepare_unlabeled: Prepare, capsys: pytest.CaptureFixture[str]) -> Path:
    """A folder as version 0.1 left it, which had no folder for each hash and shorter stamps."""
    folder = prepare_unlabeled().folder
    for file in folder.iterdir():
        file.rename(folder.parent / file.name)
    folder.rmdir()
    for case in CASES:
        stamp = folder.parent / f"{case}.json"
        content = json.loads(stamp.read_text())
        stamp.write_text(json.dumps({key: content[key] for key in ("source", "plans", "files")}))
    capsys.readouterr()
    return folder.parent


def inodes(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_ino for file in folder.iterdir() if file.suffix in (".b2nd", ".pkl")}


def test_it_is_linked_and_nothing_is_done_again(
    flat: Path, prepare_unlabeled: Prepare, capsys: pytest.CaptureFixture[str]
) -> None:
    data = prepare_unlabeled()
    assert data.identifiers == CASES
    assert inodes(data.folder) == inodes(flat)
    assert capsys.readouterr().out == (
        f"An earlier version preprocessed cases into {flat}: 4 are taken over, 0 are of other plans or damaged. The "
        "files there, outside its folders, are for that version only.\n"
    )
    assert prepare_unlabeled() == data
    assert capsys.readouterr().out == ""


def test_it_is_copied_where_there_are_no_links(
    flat: Path, prepare_unlabeled: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: Path) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", link)
    data = prepare_unlabeled()
    assert inodes(data.folder).keys() == inodes(flat).keys()
    assert inodes(data.folder) != inodes(flat)
    assert (data.folder / "demo_006.b2nd").read_bytes() == (flat / "demo_006.b2nd").read_bytes()


def test_it_is_used_without_the_raw_data(workspace: Workspace, flat: Path, prepare_unlabeled: Prepare) -> None:
    shutil.rmtree(workspace.raw)
    data = prepare_unlabeled()
    assert data.identifiers == CASES
    assert inodes(data.folder) == inodes(flat)


def test_what_is_damaged_changed_or_of_other_plans_is_done_again(
    workspace: Workspace, flat: Path, prepare_unlabeled: Prepare, capsys: pytest.CaptureFixture[str]
) -> None:
    before = inodes(flat)
    (flat / "demo_006.b2nd").write_bytes((flat / "demo_006.b2nd").read_bytes()[:1000])
    stamp = json.loads((flat / "demo_007.json").read_text())
    (flat / "demo_007.json").write_text(json.dumps({**stamp, "plans": "others"}))
    change_scan(scan_of(workspace, "demo_008"), lambda image: image[:, ::-1])
    after = inodes(prepare_unlabeled().folder)
    assert [case for case in CASES if after[f"{case}.b2nd"] == before[f"{case}.b2nd"]] == ["demo_009"]
    assert inodes(flat) == before
    assert "2 are taken over, 2 are of other plans or damaged" in capsys.readouterr().out
    prepare_unlabeled()
    assert capsys.readouterr().out == ""
