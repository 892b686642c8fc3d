from __future__ import annotations

import json
import os
import socket
import threading
import time
from pathlib import Path

import pytest

from benchmarks.label_efficiency import claims
from benchmarks.label_efficiency.claims import Claim
from tests.benchmarks.label_efficiency.conftest import killed_owner


def test_one_owner_at_a_time(tmp_path: Path) -> None:
    first, second = Claim(tmp_path / "folder" / "claim"), Claim(tmp_path / "folder" / "claim")
    assert first.take()
    with first:
        assert second.is_held()
        assert not second.take(timeout=0.1)
        assert f"process {os.getpid()} on {socket.gethostname()}" in second.describe()
    assert not second.is_held()
    assert second.take()
    with second:
        pass
    assert not second.is_held()


def test_given_up_after_an_error(tmp_path: Path) -> None:
    claim = Claim(tmp_path / "claim")
    assert claim.take()
    with pytest.raises(RuntimeError), claim:
        raise RuntimeError
    assert not claim.is_held()
    assert not claim.file.exists()


def test_claim_of_a_killed_process_is_free(tmp_path: Path) -> None:
    claim = Claim(tmp_path / "claim")
    with killed_owner(claim.file) as owner:
        assert claim.is_held()
        assert not claim.take(timeout=0.1)
        assert f"process {owner.pid} on" in claim.describe()
    assert claim.file.exists()
    assert not claim.is_held()
    assert claim.take()
    with claim:
        assert f"process {os.getpid()} on" in claim.describe()


def test_what_a_process_of_another_machine_has_left_behind_is_free(tmp_path: Path) -> None:
    claim = Claim(tmp_path / "claim")
    claim.file.write_text(json.dumps({"host": "another machine", "pid": os.getpid(), "since": "before"}))
    assert claim.take()
    with claim:
        assert "another machine" not in claim.describe()


def test_waits_for_the_owner(tmp_path: Path) -> None:
    first, second = Claim(tmp_path / "claim"), Claim(tmp_path / "claim")
    taken: list[bool] = []

    def take_and_give_up() -> None:
        with second:
            taken.append(second.take(timeout=20))

    thread = threading.Thread(target=take_and_give_up)
    assert first.take()
    with first:
        thread.start()
        time.sleep(0.2)
        assert not taken
    thread.join()
    assert taken == [True]


def test_another_process_that_looks_is_no_owner(tmp_path: Path) -> None:
    claim = Claim(tmp_path / "claim")
    looks = Claim(tmp_path / "claim")
    looks.lock_file.touch()
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            looks.is_held()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(20):
            assert claim.take(timeout=20)
            with claim:
                pass
    finally:
        ended.set()
        thread.join()


def test_looking_leaves_nothing_behind(tmp_path: Path) -> None:
    assert not Claim(tmp_path / "claim").is_held()
    assert list(tmp_path.iterdir()) == []


def test_one_who_may_only_read_goes_by_the_note_of_the_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = Claim(tmp_path / "claim")
    monkeypatch.setattr(claims.os, "access", lambda *_: False)
    assert claim.take()
    with claim:
        assert claim.is_held()
    assert not claim.is_held()
