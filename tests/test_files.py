"""Files that are whole or not there, also after a kill."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nnunetv2_dycon import files
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.files import copy_files, hash_file, scratch_folder, written_aside
from nnunetv2_dycon.json_files import read_json

IN_THE_BLOCK = """
import sys
from pathlib import Path
from nnunetv2_dycon.files import scratch_folder, written_aside

with {function}(Path(sys.argv[1])) as partial:
    if partial.is_dir():
        (partial / "half").touch()
    else:
        partial.write_text("half")
    print(partial, flush=True)
    sys.stdin.read()
"""


@contextmanager
def process_in_the_block(function: str, target: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that has written half of the target, and where it has."""
    command = [sys.executable, "-c", IN_THE_BLOCK.format(function=function), str(target)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def write_file(path: Path) -> None:
    path.write_text("whole")


def write_folder(path: Path) -> None:
    path.mkdir()
    (path / "file").write_text("whole")


@pytest.mark.parametrize("write", [write_file, write_folder])
def test_the_target_is_there_when_the_block_has_ended(tmp_path: Path, write: Callable[[Path], None]) -> None:
    target = tmp_path / "target.npz"
    with written_aside(target) as partial:
        write(partial)
        assert not target.exists()
        assert partial.parent == tmp_path
        assert partial.name.startswith(".")
        assert partial.suffix == ".npz"
    assert target.exists()
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("write", [write_file, write_folder])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_nothing_is_left_when_the_block_raises(
    tmp_path: Path, write: Callable[[Path], None], error: type[BaseException]
) -> None:
    def write_and_fail() -> None:
        with written_aside(tmp_path / "target") as partial:
            write(partial)
            raise error

    with pytest.raises(error):
        write_and_fail()
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_in_the_end_only(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("old")
    with written_aside(target) as partial:
        partial.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), written_aside(tmp_path / "target"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("function", ["written_aside", "scratch_folder"])
def test_a_kill_leaves_no_target_and_what_it_leaves_goes_with_the_next_call(tmp_path: Path, function: str) -> None:
    target = tmp_path / "target"
    with process_in_the_block(function, target) as (process, partial):
        assert partial.exists()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert not target.exists()
    assert partial.exists()
    with written_aside(tmp_path / "another target") as another:
        another.touch()
    assert partial.exists()
    with written_aside(target) as ours:
        assert not partial.exists()
        ours.touch()
    assert {file.name for file in tmp_path.iterdir()} == {"target", "another target"}


@pytest.mark.parametrize("function", ["written_aside", "scratch_folder"])
def test_processes_at_work_do_not_disturb_each_other(tmp_path: Path, function: str) -> None:
    target = tmp_path / "target"
    with process_in_the_block(function, target) as (_, theirs):
        with written_aside(target) as ours:
            assert ours != theirs
            ours.write_text("ours")
        with scratch_folder(target) as scratch:
            assert scratch != theirs
        assert theirs.exists()
        assert target.read_text() == "ours"


def test_leftovers_of_this_number_and_of_old_versions_are_removed_and_those_of_other_hosts_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when another container has this machine's name, or a process before had this one's number."""
    target = tmp_path / "target"
    with written_aside(target) as partial:
        own_name = partial.name
        partial.touch()
    (tmp_path / own_name).mkdir()
    (tmp_path / own_name / "file").touch()
    (tmp_path / ".partial_target").mkdir()
    with monkeypatch.context() as other_host:
        other_host.setattr(files, "_host", lambda: "0123456789ab")
        with written_aside(target) as partial:
            others_name = partial.name
            partial.touch()
    kept = {others_name, ".partial_target2", "target"}
    for name in kept:
        (tmp_path / name).touch()
    with scratch_folder(target) as scratch:
        assert scratch.name not in (own_name, others_name)
        assert list(scratch.iterdir()) == []
    assert {file.name for file in tmp_path.iterdir()} == kept


def test_two_blocks_of_one_process_do_not_disturb_each_other(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with written_aside(target) as first:
        first.write_text("first")
        with written_aside(target) as second:
            second.write_text("second")
        assert first.read_text() == "first"
    assert target.read_text() == "first"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    with written_aside(tmp_path / "not" / "there" / "target") as partial:
        partial.write_text("whole")
    assert (tmp_path / "not" / "there" / "target").read_text() == "whole"


def test_a_scratch_folder_goes_with_all_that_is_left_in_it(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "target") as scratch:
        (scratch / "moved").touch()
        (scratch / "left").touch()
        (scratch / "moved").rename(tmp_path / "moved")
    assert [file.name for file in tmp_path.iterdir()] == ["moved"]


@pytest.mark.parametrize("link", [True, False])
def test_files_are_copied_or_linked(tmp_path: Path, link: bool) -> None:
    source, target = tmp_path / "source", tmp_path / "folder" / "target"
    source.write_text("content")
    copy_files([(source, target)], link=link)
    assert target.read_text() == "content"
    assert target.is_symlink() is link


def test_the_hash_is_that_of_the_content(tmp_path: Path) -> None:
    content = os.urandom((1 << 20) + 7)
    (tmp_path / "file").write_bytes(content)
    assert hash_file(tmp_path / "file") == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"no file .*file\.json"),
        ("{", r"file\.json is not readable as JSON"),
        ("[1]", r"file\.json must hold a JSON object with the keys a, b"),
        ('{"a": 1}', r"file\.json lacks the key b"),
    ],
)
def test_json_that_cannot_be_used_is_named(tmp_path: Path, text: str | None, message: str) -> None:
    file = tmp_path / "file.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError, match=message):
        read_json(file, ("a", "b"))
    file.write_text('{"a": 1, "b": 2, "c": 3}')
    assert read_json(file, ("a", "b")) == {"a": 1, "b": 2, "c": 3}


def test_a_disk_without_links_is_told_from_a_missing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: object, target: object, target_is_directory: bool) -> None:
        assert not target_is_directory
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), str(source), None, str(target))

    (tmp_path / "scan").touch()
    monkeypatch.setattr(os, "symlink", refuse)
    with pytest.raises(UserError, match=r"no symbolic link to .*scan can be made \(Operation not supported\)\. If"):
        copy_files([(tmp_path / "scan", tmp_path / "link")], link=True)
