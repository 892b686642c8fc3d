from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.label_efficiency import claims
from benchmarks.label_efficiency.claims import Claim


def leave_behind(file: Path, host: str) -> None:
    """A claim of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    file.write_text(json.dumps({"host": host, "pid": process.pid, "since": "before"}))


def test_one_owner_at_a_time(tmp_path: Path) -> None:
    first, second = Claim(tmp_path / "folder" / "claim"), Claim(tmp_path / "folder" / "claim")
    assert first.take()
    with first:
        assert not second.take()
        assert not second.take(take_over=True)
        assert not second.is_stale()
        assert f"process {os.getpid()} on {socket.gethostname()}" in second.describe()
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


def test_claim_of_a_dead_process_is_taken_over_only_when_told(tmp_path: Path) -> None:
    claim = Claim(tmp_path / "claim")
    leave_behind(claim.file, socket.gethostname())
    assert claim.is_stale()
    assert not claim.take()
    assert claim.take(take_over=True)
    with claim:
        assert not Claim(claim.file).is_stale()
        assert list(tmp_path.iterdir()) == [claim.file]


def test_claim_of_another_machine_is_stale_when_it_is_not_renewed(tmp_path: Path) -> None:
    claim = Claim(tmp_path / "claim")
    leave_behind(claim.file, "another machine")
    assert not claim.is_stale()
    assert not claim.take(take_over=True)
    old = time.time() - claims.STALE_SECONDS - 1
    os.utime(claim.file, (old, old))
    assert claim.is_stale()
    assert claim.take(take_over=True)
    with claim:
        pass


def test_owner_renews_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "RENEWAL_SECONDS", 0.01)
    claim = Claim(tmp_path / "claim")
    assert claim.take()
    with claim:
        os.utime(claim.file, (0, 0))
        while claim.file.stat().st_mtime == 0:
            time.sleep(0.01)


def test_no_claim_is_not_stale(tmp_path: Path) -> None:
    assert not Claim(tmp_path / "claim").is_stale()
