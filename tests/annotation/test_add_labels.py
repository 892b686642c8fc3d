"""Scans become labeled cases, all or none, and nothing is overwritten."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from nnunetv2_dycon.annotation import add_labels as module
from nnunetv2_dycon.annotation.add_labels import add_labels, add_to_training
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.processes import Stopped, StopSignals
from tests.annotation.conftest import RawDataset, write_label


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Finished labels of ``c`` and ``d``."""
    for case in "cd":
        write_label(tmp_path / "finished" / f"{case}.nii.gz", 2)
    return tmp_path / "finished"


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_scans_and_labels_are_where_nnunet_looks(few: RawDataset, labels: Path) -> None:
    few.write_splits({"train": ["a"], "val": ["b"]}, {"train": ["b"], "val": ["a"]})
    before = few.files()
    added = add_labels("601", labels)
    assert (added.added, added.number) == (["c", "d"], 4)
    after = few.files()
    for case in "cd":
        for channel in range(2):
            name = f"{case}_{channel:04d}.nii.gz"
            assert (
                after[f"nnUNet_raw/{few.raw.name}/imagesTr/{name}"]
                == before[f"nnUNet_raw/{few.raw.name}/imagesUnlabeled/{name}"]
            )
        assert (few.raw / "labelsTr" / f"{case}.nii.gz").read_bytes() == (labels / f"{case}.nii.gz").read_bytes()
    assert names(few.raw / "imagesUnlabeled") == ["e_0000.nii.gz", "e_0001.nii.gz"]
    assert len(names(few.raw / "imagesTr")) == 8
    assert names(few.raw / "labelsTr") == [f"{case}.nii.gz" for case in "abcd"]
    assert few.dataset_json["numTraining"] == 4
    assert few.dataset_json["labels"]["läsion"] == 2
    assert few.splits == [{"train": ["a", "c", "d"], "val": ["b"]}, {"train": ["b", "c", "d"], "val": ["a"]}]
    # The annotator's work stays.
    assert names(labels) == ["c.nii.gz", "d.nii.gz"]

    again = add_labels("601", labels)
    assert (again.added, again.added_before, again.number) == ([], ["c", "d"], 4)
    assert few.files() == after


def test_without_folds_none_are_made_and_named_cases_are_added_alone(few: RawDataset, labels: Path) -> None:
    added = add_labels("601", labels, ["d"])
    assert (added.added, added.splits_file) == (["d"], None)
    assert not (few.preprocessed / "splits_final.json").exists()
    assert "c_0000.nii.gz" in names(few.raw / "imagesUnlabeled")


def test_a_list_of_files_in_dataset_json_gets_the_new_ones(few: RawDataset, labels: Path) -> None:
    listed = {
        case: {"images": [f"imagesTr/{case}_{n:04d}.nii.gz" for n in range(2)], "label": f"labelsTr/{case}.nii.gz"}
        for case in "abcd"
    }
    few.write_dataset_json(dataset={case: listed[case] for case in "ab"})
    add_labels("601", labels)
    assert few.dataset_json["dataset"] == listed


def test_links_stay_links(few: RawDataset, labels: Path, tmp_path: Path) -> None:
    scan = few.raw / "imagesUnlabeled" / "c_0000.nii.gz"
    (tmp_path / "elsewhere").mkdir()
    target = shutil.move(scan, tmp_path / "elsewhere" / "scan.nii.gz")
    scan.symlink_to(os.path.relpath(target, scan.parent))
    add_labels("601", labels)
    moved = few.raw / "imagesTr" / "c_0000.nii.gz"
    assert moved.is_symlink()
    assert moved.resolve() == Path(target)


def _write(name: str, value: int = 1) -> Callable[[RawDataset, Path], None]:
    return lambda few, _: write_label(few.raw / name, value)


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda _, labels: write_label(labels / "d.nii.gz", 7), r"d\.nii\.gz holds the value 7"),
        (lambda _, labels: write_label(labels / "x.nii.gz"), r"x\.nii\.gz is the label of no scan"),
        (lambda _, labels: write_label(labels / "a.nii.gz", 2), r"a\.nii\.gz is another label of a, and none is over"),
        (_write("labelsTr/d.nii.gz"), r"labelsTr/d\.nii\.gz is another label of d"),
        (_write("imagesTr/d_0001.nii.gz"), r"imagesTr/d_0001\.nii\.gz is there, another file"),
        (
            lambda few, _: (few.raw / "imagesUnlabeled/d_0001.nii.gz").unlink(),
            r"has 1 image file, and labeled .* 2",
        ),
    ],
)
def test_one_that_is_wrong_keeps_all_from_being_added(
    few: RawDataset, labels: Path, prepare: Callable[[RawDataset, Path], None], message: str
) -> None:
    few.write_splits({"train": ["a"], "val": ["b"]})
    prepare(few, labels)
    before = few.files()
    with pytest.raises(UserError, match=message):
        add_labels("601", labels)
    assert few.files() == before


def test_a_label_that_is_off_limits_is_named(few: RawDataset, labels: Path) -> None:
    few.write_splits({"train": ["a"], "val": [], "unlabeled": ["b"]})
    write_label(labels / "b.nii.gz", 2)
    with pytest.raises(UserError, match=r'off limits in splits_final\.json: move b from "unlabeled" to "train"'):
        add_labels("601", labels)


class ADiskFailsError(OSError):
    """At a step of the move."""


@pytest.mark.parametrize("step", range(12))
def test_whatever_fails_leaves_all_as_before(
    few: RawDataset, labels: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    few.write_splits({"train": ["a"], "val": ["b"]})
    before = few.files()
    _fail_at(monkeypatch, step, ADiskFailsError("the disk is full"))
    with pytest.raises(UserError, match="cannot be written to"):
        add_labels("601", labels)
    assert few.files() == before


def _fail_at(monkeypatch: pytest.MonkeyPatch, step: int, error: BaseException) -> None:
    """Have a change fail, counted from 0: 6 new files, then 2 files of JSON, then 4 scans that go."""
    count, rename, write = [0], Path.rename, module._write

    def counted() -> None:
        count[0] += 1
        if count[0] == step + 1:
            raise error

    def failing_rename(self: Path, target: Path) -> Path:
        counted()
        return rename(self, target)

    def failing_write(file: Path, text: str) -> None:
        write(file, text)
        counted()

    monkeypatch.setattr(Path, "rename", failing_rename)
    monkeypatch.setattr(module, "_write", failing_write)


def test_a_signal_in_the_middle_leaves_all_as_before(
    few: RawDataset, labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, rename, count = few.files(), Path.rename, [0]

    def signalled_rename(self: Path, target: Path) -> Path:
        result = rename(self, target)
        count[0] += 1
        if count[0] == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return result

    monkeypatch.setattr(Path, "rename", signalled_rename)
    with pytest.raises(Stopped), StopSignals():
        add_labels("601", labels)
    assert count[0] >= 4
    assert few.files() == before


class KilledError(BaseException):
    """In place of SIGKILL, after which nothing is undone."""


@pytest.mark.parametrize("step", range(12))
def test_what_a_killed_process_has_left_is_completed(
    few: RawDataset, labels: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    few.write_splits({"train": ["a"], "val": ["b"]})
    with monkeypatch.context() as patch:
        _fail_at(patch, step, KilledError())
        patch.setattr(module, "_undone_on_error", lambda: contextlib.nullcontext(contextlib.ExitStack()))
        with pytest.raises(KilledError):
            add_labels("601", labels)
    added = add_labels("601", labels)
    # Those whose scans have gone before are known as labeled.
    assert sorted([*added.added, *added.added_before]) == ["c", "d"]
    assert names(few.raw / "imagesUnlabeled") == ["e_0000.nii.gz", "e_0001.nii.gz"]
    assert names(few.raw / "labelsTr") == [f"{case}.nii.gz" for case in "abcd"]
    assert len(names(few.raw / "imagesTr")) == 8
    assert few.dataset_json["numTraining"] == 4
    assert few.splits == [{"train": ["a", "c", "d"], "val": ["b"]}]


def test_folds_keep_their_validation_cases() -> None:
    splits = [{"train": ["a"], "val": ["b"], "unlabeled": ["c", "e"]}, {"train": ["b", "c"], "val": ["d"]}]
    assert add_to_training(splits, ["c", "d"]) == [
        {"train": ["a", "c", "d"], "val": ["b"], "unlabeled": ["e"]},
        {"train": ["b", "c"], "val": ["d"]},
    ]
