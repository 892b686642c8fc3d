"""Of several processes, one does a case; a lock ends with its process and leaves nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from nnunetv2_dycon.preprocessing.case_lock import case_lock

HOLD = """
import sys
from pathlib import Path
from nnunetv2_dycon.preprocessing.case_lock import case_lock

with case_lock(Path(sys.argv[1]), "a") as is_free:
    print(is_free, flush=True)
    sys.stdin.read()
"""


def test_another_process_has_it_until_it_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        with case_lock(tmp_path, "a") as is_free:
            assert not is_free
        with case_lock(tmp_path, "b") as is_free:
            assert is_free
        process.kill()
    with case_lock(tmp_path, "a") as is_free:
        assert is_free
    assert list(tmp_path.iterdir()) == []


def test_where_there_are_no_locks_everybody_has_it(tmp_path: Path) -> None:
    (tmp_path / ".a.lock").mkdir()
    for folder in (tmp_path, tmp_path / "nowhere"):
        with case_lock(folder, "a") as is_free:
            assert is_free
