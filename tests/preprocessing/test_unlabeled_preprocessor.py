"""Unlabeled scans are preprocessed as nnU-Net preprocesses them, and what is done is not done again."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import blosc2
import numpy as np
import pytest
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor

from nnunetv2_dycon.datasets.planned_dataset import read_planned_dataset
from nnunetv2_dycon.datasets.raw_dataset import UnlabeledCase
from nnunetv2_dycon.files import hash_file
from nnunetv2_dycon.preprocessing import unlabeled_preprocessor
from nnunetv2_dycon.preprocessing.prepare_unlabeled_data import UnlabeledData
from tests.preprocessing.unlabeled_scans import change_scan, scan_of

if TYPE_CHECKING:
    from tests.conftest import Workspace

Prepare = Callable[..., UnlabeledData]
CASES = ["demo_006", "demo_007", "demo_008", "demo_009"]


def read(folder: Path, name: str) -> np.ndarray:
    return blosc2.open(str(folder / f"{name}.b2nd"), mode="r")[:]


def times(data: UnlabeledData) -> dict[str, int]:
    """When each case's image was written."""
    return {case: (data.folder / f"{case}.b2nd").stat().st_mtime_ns for case in CASES}


def redone(before: dict[str, int], data: UnlabeledData) -> list[str]:
    return [case for case, time in times(data).items() if time != before[case]]


@pytest.mark.parametrize("use_mask", [False, True])
def test_it_equals_nnunet_without_a_segmentation(
    workspace: Workspace, prepare_unlabeled: Prepare, use_mask: bool
) -> None:
    plans = workspace.read_plans()
    plans["configurations"]["3d_fullres"].update(use_mask_for_norm=[use_mask], spacing=[1.1, 1.0, 0.8])
    workspace.write_plans(plans, "nnUNetPlansSpacing")
    scan = scan_of(workspace, "demo_007")
    change_scan(scan, lambda image: np.pad(np.maximum(image[:, :, 4:], 350) - 350, ((0, 0), (0, 0), (4, 0))))
    folder = prepare_unlabeled("nnUNetPlansSpacing").folder
    dataset = read_planned_dataset("501", "nnUNetPlansSpacing")
    image, mask, properties = DefaultPreprocessor(verbose=False).run_case(
        [str(scan)], None, dataset.plans_manager, dataset.configuration("3d_fullres"), dataset.dataset_json
    )
    assert set(np.unique(mask)) == {-1, 0}
    assert np.array_equal(read(folder, "demo_007"), image)
    assert np.array_equal(read(folder, "demo_007_nonzero"), mask)
    assert read(folder, "demo_007").dtype == np.float32
    stored = pickle.loads((folder / "demo_007.pkl").read_bytes())
    assert "class_locations" not in stored
    assert str(stored) == str(properties)


def test_it_equals_the_labeled_preprocessing_of_the_same_scan(workspace: Workspace, prepare_unlabeled: Prepare) -> None:
    shutil.copy(workspace.raw / "imagesTr" / "demo_000_0000.nii.gz", scan_of(workspace, "twin"))
    folder = prepare_unlabeled(off_limits=["demo_001"]).folder
    labeled = workspace.preprocessed / "nnUNetPlans_3d_fullres"
    assert np.array_equal(read(folder, "twin"), read(labeled, "demo_000"))
    assert np.array_equal(read(folder, "demo_001"), read(labeled, "demo_001"))
    assert set(np.unique(read(folder, "demo_001_nonzero"))) <= {-1, 0}


def test_the_folder_holds_the_files_of_each_case_and_nothing_else(prepare_unlabeled: Prepare) -> None:
    data = prepare_unlabeled()
    suffixes = (".b2nd", "_nonzero.b2nd", ".pkl", ".json")
    assert sorted(file.name for file in data.folder.iterdir()) == sorted(c + s for c in CASES for s in suffixes)


def test_what_is_done_is_not_done_again(prepare_unlabeled: Prepare) -> None:
    before = times(prepare_unlabeled())
    assert redone(before, prepare_unlabeled()) == []


def test_a_killed_run_is_continued(
    workspace: Workspace, prepare_unlabeled: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stamp = unlabeled_preprocessor.write_stamp
    stamps = []

    def write_stamp_until_killed(folder: Path, identifier: str, stamp: dict) -> None:
        if len(stamps) == 2:
            (folder / ".partial_demo_009").mkdir()
            (folder / ".partial_demo_009" / "demo_009.b2nd").write_text("half a file")
            raise KeyboardInterrupt
        stamps.append(identifier)
        write_stamp(folder, identifier, stamp)

    with monkeypatch.context() as killed:
        killed.setattr(unlabeled_preprocessor, "write_stamp", write_stamp_until_killed)
        with pytest.raises(KeyboardInterrupt):
            prepare_unlabeled()
    folder = workspace.unlabeled_folder()
    before = {file.name: file.stat().st_mtime_ns for file in folder.glob("*.b2nd")}
    assert {"demo_006.b2nd", "demo_007.b2nd", "demo_008.b2nd"} <= before.keys()
    after = times(prepare_unlabeled())
    assert [case for case in CASES if before.get(f"{case}.b2nd") != after[case]] == ["demo_008", "demo_009"]
    assert not list(folder.glob(".partial*"))


def test_a_case_that_is_being_redone_counts_as_not_done(
    workspace: Workspace, prepare_unlabeled: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = prepare_unlabeled()
    change_scan(scan_of(workspace, "demo_006"), lambda image: image + 1)

    def make_stamp_is_killed(case: UnlabeledCase, *_: object) -> dict:
        raise KeyboardInterrupt(case.identifier)

    with monkeypatch.context() as killed:
        killed.setattr(unlabeled_preprocessor, "make_stamp", make_stamp_is_killed)
        with pytest.raises(KeyboardInterrupt):
            prepare_unlabeled()
    assert not (data.folder / "demo_006.json").exists()


def test_only_the_changed_scan_is_redone(workspace: Workspace, prepare_unlabeled: Prepare) -> None:
    before = times(prepare_unlabeled())
    change_scan(scan_of(workspace, "demo_008"), lambda image: image[:, ::-1])
    assert redone(before, prepare_unlabeled()) == ["demo_008"]


def test_a_copied_scan_is_not_redone(workspace: Workspace, prepare_unlabeled: Prepare) -> None:
    before = times(prepare_unlabeled())
    for case in CASES:
        os.utime(scan_of(workspace, case), ns=(1, 1))
    assert redone(before, prepare_unlabeled()) == []


def test_other_preprocessing_in_the_plans_redoes_all(workspace: Workspace, prepare_unlabeled: Prepare) -> None:
    before = times(prepare_unlabeled())
    plans = workspace.read_plans()
    plans["configurations"]["3d_fullres"]["normalization_schemes"] = ["NoNormalization"]
    workspace.write_plans(plans, "nnUNetPlansOther")
    assert redone(before, prepare_unlabeled("nnUNetPlansOther")) == CASES


def test_other_plans_with_the_same_preprocessing_redo_nothing(workspace: Workspace, prepare_unlabeled: Prepare) -> None:
    before = times(prepare_unlabeled())
    workspace.write_settings("nnUNetPlansSettings", uncl_weight=3)
    assert redone(before, prepare_unlabeled("nnUNetPlansSettings")) == []


@pytest.fixture(scope="module")
def opened() -> Iterator[Counter[str]]:
    """How often Python has opened each file since the counter was cleared."""
    counts: Counter[str] = Counter()
    listening = True

    def count(event: str, arguments: tuple) -> None:
        if listening and event == "open" and isinstance(arguments[0], str | os.PathLike):
            counts[os.fspath(arguments[0])] += 1

    # There is no way to remove it.
    sys.addaudithook(count)
    yield counts
    listening = False


def test_a_scan_is_read_once_before_nnunet_reads_it(
    workspace: Workspace, prepare_unlabeled: Prepare, opened: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: Counter[str] = Counter()
    read_images = SimpleITKIO.read_images

    def count_and_read(self: SimpleITKIO, files: list[str]) -> tuple[np.ndarray, dict]:
        read.update(files)
        return read_images(self, files)

    monkeypatch.setattr(SimpleITKIO, "read_images", count_and_read)
    scans = [str(scan_of(workspace, case)) for case in CASES]
    opened.clear()
    data = prepare_unlabeled()
    # ITK opens it from C++, so these are all openings but nnU-Net's.
    assert {scan: opened[scan] for scan in scans} == dict.fromkeys(scans, 1)
    assert read == dict.fromkeys(scans, 1)
    opened.clear()
    assert prepare_unlabeled() == data
    assert [opened[scan] for scan in scans] == [0] * len(scans)
    stamp = json.loads((data.folder / "demo_006.json").read_text())
    assert stamp["files"][0]["sha256"] == hash_file(Path(scans[0]))


def test_the_stamp_says_what_the_case_was_made_from(workspace: Workspace, prepare_unlabeled: Prepare) -> None:
    data = prepare_unlabeled(off_limits=["demo_000"])
    assert json.loads((data.folder / "demo_000.json").read_text())["source"] == "imagesTr"
    stamp = json.loads((data.folder / "demo_006.json").read_text())
    assert stamp["source"] == "imagesUnlabeled"
    assert [file["name"] for file in stamp["files"]] == ["demo_006_0000.nii.gz"]
    assert stamp["files"][0]["size"] == scan_of(workspace, "demo_006").stat().st_size
