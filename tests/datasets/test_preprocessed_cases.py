"""Preprocessed cases of both formats of nnU-Net."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnunetv2_dycon.datasets.preprocessed_cases import check_preprocessed_folder, preprocessed_cases
from nnunetv2_dycon.exceptions import UserError

BLOSC2 = ("a.b2nd", "a_seg.b2nd", "a.pkl", "b.b2nd", "b_seg.b2nd", "b.pkl", "._a.b2nd")
NUMPY = ("a.npz", "a.npy", "a_seg.npy", "a.pkl", "b.npz", "b.pkl")


def touch(folder: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        (folder / name).touch()
    return folder


@pytest.mark.parametrize("names", [BLOSC2, NUMPY])
def test_cases_are_those_that_nnunet_lists_but_for_hidden_ones(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert preprocessed_cases(touch(tmp_path, names)) == ["a", "b"]


def test_there_are_none_without_the_folder(tmp_path: Path) -> None:
    assert preprocessed_cases(tmp_path / "none") == []


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "has no preprocessed cases: run COMMAND"),
        (BLOSC2, r"\._a\.b2nd is none of nnU-Net's files"),
        ((*NUMPY, "notes.txt"), r"notes\.txt is none of nnU-Net's files"),
        ((*NUMPY, "c.b2nd"), "has cases of two formats"),
    ],
)
def test_what_nnunet_cannot_list_is_refused(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_preprocessed_folder(touch(tmp_path, names), "COMMAND")


def test_good_folders_are_accepted(tmp_path: Path) -> None:
    check_preprocessed_folder(touch(tmp_path, NUMPY), "COMMAND")
