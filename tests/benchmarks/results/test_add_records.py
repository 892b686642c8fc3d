"""Records of a report join those that are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.results.add_records import add_records
from nnunetv2_dycon.exceptions import UserError

RUNS = "dataset,budget,arm,seed,state,labels,dice\n"
CASES = "dataset,budget,arm,seed,case,class,dice,jaccard,hd95,asd\n"


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """The records, of one training, and a report on it, on another one and on one that is not done."""
    records, report = tmp_path / "records", tmp_path / "report"
    for folder in (records, report):
        folder.mkdir()
    (records / "runs.csv").write_text(f"series,{RUNS}a,heart,6,nnUNet,0,done,6,0.5\n")
    (records / "cases.csv").write_text(f"series,{CASES}a,heart,6,nnUNet,0,c,x,0.5,0.4,3,1\n")
    runs = ("nnUNet,0,done,6,0.9", "nnUNet,1,done,6,0.61234567", "DyCON,0,interrupted,,")
    (report / "runs.csv").write_text(RUNS + "".join(f"heart,6,{run}\n" for run in runs))
    cases = ("nnUNet,0,c,x,0.9,0.8,3,1", "nnUNet,1,c,x,0.61234567,0.5,,1.0")
    (report / "cases.csv").write_text(CASES + "".join(f"heart,6,{case}\n" for case in cases))
    return records, report


def test_what_is_there_stays_and_what_is_done_joins(folders: tuple[Path, Path]) -> None:
    records, report = folders
    assert add_records(report, "a", records) == 1
    assert (records / "runs.csv").read_text().splitlines()[1:] == [
        "a,heart,6,nnUNet,0,done,6,0.5",
        "a,heart,6,nnUNet,1,done,6,0.61234567",
    ]
    assert (records / "cases.csv").read_text().splitlines()[1:] == [
        "a,heart,6,nnUNet,0,c,x,0.5,0.4,3,1",
        "a,heart,6,nnUNet,1,c,x,0.61235,0.5,,1",
    ]
    assert add_records(report, "a", records) == 0
    # Of another machine, the same seed is another training.
    assert add_records(report, "b", records) == 2


def test_a_folder_that_is_no_report_is_refused(folders: tuple[Path, Path]) -> None:
    records, report = folders
    (report / "cases.csv").unlink()
    with pytest.raises(UserError, match=r"cases.csv is not there"):
        add_records(report, "a", records)
    (report / "runs.csv").write_text("state,a\ndone,b\n")
    with pytest.raises(UserError, match="lacks the column 'dataset'"):
        add_records(report, "a", records)
