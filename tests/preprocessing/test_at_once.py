"""Several processes preprocess the same scans at once: all succeed, and nobody does what another does."""

from __future__ import annotations

import contextlib
import multiprocessing
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nnunetv2_dycon.datasets.planned_dataset import read_planned_dataset
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.preprocessing import unlabeled_preprocessor
from nnunetv2_dycon.preprocessing.case_lock import case_lock
from nnunetv2_dycon.preprocessing.case_stamp import find_damage, read_stamp
from nnunetv2_dycon.preprocessing.prepare_unlabeled_data import UnlabeledData, prepare_unlabeled_data
from tests.preprocessing.other_processes import preprocess_elsewhere
from tests.preprocessing.unlabeled_scans import scan_of

if TYPE_CHECKING:
    from tests.conftest import Workspace

Prepare = Callable[..., UnlabeledData]
CASES = ["demo_006", "demo_007", "demo_008", "demo_009"]


def assert_all_is_done(folder: Path) -> None:
    assert [find_damage(folder, case, read_stamp(folder, case)) for case in CASES] == [None] * len(CASES)
    suffixes = (".b2nd", "_nonzero.b2nd", ".pkl", ".json")
    assert {file.name for file in folder.iterdir()} == {case + suffix for case in CASES for suffix in suffixes}


def test_they_share_the_cases(workspace: Workspace) -> None:
    said = preprocess_elsewhere(3)
    done = [int(number) for line in said for number in re.findall(r"^Preprocessed (\d+) unlabeled cases into", line)]
    assert sum(done) == len(CASES), said
    assert_all_is_done(workspace.unlabeled_folder())


def test_without_locks_all_succeed_too(workspace: Workspace) -> None:
    said = preprocess_elsewhere(3, locks=False)
    assert all(re.fullmatch(r"|Preprocessed \d unlabeled cases into \S+", line) for line in said), said
    assert_all_is_done(workspace.unlabeled_folder())


def test_a_bad_scan_is_named_by_all(workspace: Workspace) -> None:
    scan_of(workspace, "demo_007").write_text("no scan")
    said = preprocess_elsewhere(2)
    assert [line.startswith("UserError: 1 unlabeled case cannot be used:") for line in said] == [True, True], said


@contextlib.contextmanager
def another_process_holds(folder: Path, case: str, seconds: float) -> Iterator[None]:
    context = multiprocessing.get_context("fork")
    locked = context.Event()

    def hold() -> None:
        with case_lock(folder, case) as is_free:
            assert is_free
            locked.set()
            time.sleep(seconds)

    process = context.Process(target=hold)
    process.start()
    assert locked.wait(10)
    yield
    process.kill()
    process.join()


def test_a_case_whose_process_ends_without_having_done_it_is_done(
    workspace: Workspace, prepare_unlabeled: Prepare
) -> None:
    folder = workspace.unlabeled_folder()
    folder.mkdir(parents=True)
    with another_process_holds(folder, "demo_006", 1):
        start = time.monotonic()
        prepare_unlabeled()
        assert time.monotonic() - start > 0.5
    assert_all_is_done(folder)


def test_a_lock_is_waited_for_no_longer_than_the_limit(
    workspace: Workspace, prepare_unlabeled: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unlabeled_preprocessor, "_LONGEST_WAIT", 0.1)
    folder = workspace.unlabeled_folder()
    folder.mkdir(parents=True)
    with another_process_holds(folder, "demo_006", 600):
        assert prepare_unlabeled().identifiers == CASES
    assert [find_damage(folder, case, read_stamp(folder, case)) for case in CASES] == [None] * len(CASES)


@pytest.mark.usefixtures("workspace")
def test_a_process_that_is_killed_is_one_sentence_with_advice() -> None:
    """As Linux does where the memory is full."""
    dataset = read_planned_dataset("501", "nnUNetPlansSmall")
    arguments: tuple[Any, ...] = (dataset.plans_manager, dataset.configuration("3d_fullres"), dataset.dataset_json)

    def kill_the_first() -> None:
        # While a pool starts its workers, Python trips over one that ends (RuntimeError in a thread of its own).
        while len(children := multiprocessing.active_children()) < 2:
            time.sleep(0.01)
        children[0].kill()

    killer = threading.Thread(target=kill_the_first)
    killer.start()
    with pytest.raises(UserError, match=r"A preprocessing process was killed, .* with a smaller -np"):
        prepare_unlabeled_data(*arguments, [], 2)
    killer.join()
