"""The lists that ship with the package are whole, disjoint, and those that were published."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nnunetv2_dycon.conversion.data_sets import DATA_SETS
from nnunetv2_dycon.conversion.published_splits import PublishedSplit, read_published_split

SPLITS = [(data_set.name, split) for data_set in DATA_SETS.values() for split in data_set.splits]
COUNTS = {
    "la": (80, 0, 20),
    "pancreas": (62, 0, 20),
    "brats19": (250, 25, 60),
    "isles22": (200, 25, 25),
    "acdc": (140, 20, 40),
}


@pytest.mark.parametrize(("data_set", "name"), SPLITS)
def test_lists_are_whole_and_disjoint(data_set: str, name: str) -> None:
    split = read_published_split(data_set, name)
    assert (len(split.train), len(split.validation), len(split.test)) == COUNTS[data_set]
    assert len(set(split.cases)) == len(split.cases)
    assert set(split.left_out) <= set(split.cases)
    assert "commit" in split.source
    patients = [
        set(map(DATA_SETS[data_set].patient_of, cases)) for cases in (split.train, split.validation, split.test)
    ]
    assert not patients[0] & patients[1]
    assert not patients[0] & patients[2]
    assert not patients[1] & patients[2]


def test_cases_of_a_patient_follow_each_other() -> None:
    train = read_published_split("acdc", "ssl4mis").train
    assert [case[:10] for case in train[::2]] == [case[:10] for case in train[1::2]]


def test_every_file_belongs_to_a_split() -> None:
    folder = Path(read_published_split.__code__.co_filename).parent / "splits"
    assert {file.stem for file in folder.iterdir()} == {f"{data_set}_{name}" for data_set, name in SPLITS}


def test_one_scan_is_never_in_two_places() -> None:
    """Cases 2, 25 and 70 of Pancreas-CT are one scan, and so are two of LA."""
    for name, prefix in (("mc-net", "image"), ("dycon", "PANCREAS_")):
        assert set(read_published_split("pancreas", name).left_out) == {f"{prefix}0025", f"{prefix}0070"}
    left_out = read_published_split("la", "ua-mt").left_out
    assert list(left_out) == ["CMPXO4J23G58J53Q98SZ"]
    assert "0RZDK210BSMWAA6467LU" in left_out["CMPXO4J23G58J53Q98SZ"]


@pytest.mark.parametrize(("data_set", "name"), SPLITS)
def test_the_lists_are_the_published_ones(data_set: str, name: str, shared_folder: Path) -> None:
    files = {"pancreas": f"pancreas_{name.replace('-', '')}.json"}
    file = shared_folder / "splits" / files.get(data_set, f"{data_set}.json")
    if not file.is_file():
        pytest.skip(f"no {file}")
    published, split = json.loads(file.read_text()), read_published_split(data_set, name)
    lists = published["folds"][int(name[-1])] if data_set == "isles22" else published
    assert split.train == tuple(lists["train"])
    assert split.validation == tuple(lists.get("val", []))
    assert split.test == tuple(lists["test"])


def test_labeled_sets_that_are_published_come_first(shared_folder: Path) -> None:
    file = shared_folder / "splits" / "acdc.json"
    if not file.is_file():
        pytest.skip(f"no {file}")
    published, train = json.loads(file.read_text()), read_published_split("acdc", "ssl4mis").train
    for patients in (3, 7):
        assert sorted(train[: 2 * patients]) == sorted(published[f"labeled_{patients}_patients"])


def test_prefix_of_numbers() -> None:
    split = PublishedSplit("name", "source", ("image0057",), (), ("image0001",), {}, ())
    assert split.prefix == "image"
