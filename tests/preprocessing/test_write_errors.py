"""A folder that cannot be written to is said to be just that, and no scan is blamed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.files import explained_write_errors
from nnunetv2_dycon.preprocessing.prepare_unlabeled_data import UnlabeledData
from tests.preprocessing.other_processes import preprocess_elsewhere
from tests.preprocessing.unlabeled_scans import scan_of

if TYPE_CHECKING:
    from tests.conftest import Workspace

Prepare = Callable[..., UnlabeledData]
CASES = ["demo_006", "demo_007", "demo_008", "demo_009"]


# An array is written by Blosc2, properties and stamp by Python.
@pytest.mark.parametrize("largest_file", [20_000, 200], ids=["image", "properties"])
def test_the_first_file_that_cannot_be_written_ends_it(
    workspace: Workspace, prepare_unlabeled: Prepare, largest_file: int
) -> None:
    (message,) = preprocess_elsewhere(1, largest_file=largest_file)
    folder = workspace.unlabeled_folder()
    assert message.startswith(f"UserError: {folder} cannot be written to: ")
    assert "are free there. Make room" in message
    assert "\n" not in message
    assert "demo_00" not in message
    assert list(folder.iterdir()) == []
    assert prepare_unlabeled().identifiers == CASES


def test_the_reason_and_the_free_space_are_named(tmp_path: Path) -> None:
    message = r"not there cannot be written to: Is a directory; [\d,.]+ [GM]iB are free"
    with pytest.raises(UserError, match=message), explained_write_errors(tmp_path / "not there"):
        tmp_path.write_text("")
    message = "not there cannot be written to: Error while creating the NDArray;"
    with pytest.raises(UserError, match=message), explained_write_errors(tmp_path / "not there"):
        raise RuntimeError("Error while creating the NDArray")


@pytest.mark.parametrize(("keeps", "end"), [(True, "start again: what is done is kept."), (False, "start again.")])
def test_that_work_is_kept_is_said_where_it_is_true(tmp_path: Path, keeps: bool, end: str) -> None:
    with pytest.raises(UserError) as error, explained_write_errors(tmp_path, keeps_what_is_done=keeps):
        raise OSError
    assert str(error.value).endswith(end)


@contextmanager
def nothing_can_be_written(folder: Path) -> Iterator[None]:
    """No file of a folder can be written in this block, even by root, who counts as nobody meanwhile."""
    modes = {path: path.stat().st_mode for path in (folder, *folder.rglob("*"), *folder.parents)}
    for path, mode in modes.items():
        if path in folder.parents:
            if not mode & 0o001:
                path.chmod(mode | 0o011)
        else:
            path.chmod(mode & ~0o222 | 0o444 | (0o111 if path.is_dir() else 0))
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)
        yield
    finally:
        if user == 0:
            os.seteuid(0)
        for path, mode in modes.items():
            if path.stat().st_mode != mode:
                path.chmod(mode)


def test_a_read_only_folder_is_one_sentence(workspace: Workspace, prepare_unlabeled: Prepare) -> None:
    with nothing_can_be_written(workspace.root), pytest.raises(UserError) as error:
        prepare_unlabeled()
    assert str(error.value).startswith(f"{workspace.unlabeled_folder()} cannot be written to: Permission denied; ")


def test_what_is_done_is_used_in_a_read_only_folder(workspace: Workspace, prepare_unlabeled: Prepare) -> None:
    data = prepare_unlabeled()
    for case in CASES:
        os.utime(scan_of(workspace, case), ns=(1, 1))
    with nothing_can_be_written(workspace.root):
        assert prepare_unlabeled() == data
    stamp = json.loads((data.folder / "demo_006.json").read_text())
    assert stamp["files"][0]["mtime_ns"] != 1
