"""Records of a report join those that are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.results.add_records import add_records
from nnunetv2_dycon.exceptions import UserError

RUNS = "dataset,budget,arm,seed,state,labels,dice,epochs,steps\n"
CASES = "dataset,budget,arm,seed,case,class,dice,jaccard,hd95,asd\n"


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """The records, of one training, and a report on it, on another one and on one that is not done."""
    records, report = tmp_path / "records", tmp_path / "report"
    for folder in (records, report):
        folder.mkdir()
    (records / "runs.csv").write_text(f"series,{RUNS}a,heart,6,nnUNet,0,done,6,0.5,40,200\n")
    (records / "cases.csv").write_text(f"series,{CASES}a,heart,6,nnUNet,0,c,x,0.5,0.4,3,1\n")
    runs = ("nnUNet,0,done,6,0.50,40,200", "nnUNet,1,done,6,0.61234567,40,200", "DyCON,0,interrupted,,,,")
    (report / "runs.csv").write_text(RUNS + "".join(f"heart,6,{run}\n" for run in runs))
    cases = ("nnUNet,0,c,x,0.5,0.8,3,1", "nnUNet,1,c,x,0.61234567,0.5,,1.0")
    (report / "cases.csv").write_text(CASES + "".join(f"heart,6,{case}\n" for case in cases))
    return records, report


def test_what_is_there_stays_and_what_is_done_joins(folders: tuple[Path, Path]) -> None:
    records, report = folders
    assert add_records(report, "a", records) == 1
    assert (records / "runs.csv").read_text().splitlines()[1:] == [
        "a,heart,6,nnUNet,0,done,6,0.5,40,200",
        "a,heart,6,nnUNet,1,done,6,0.61234567,40,200",
    ]
    cases = ["a,heart,6,nnUNet,0,c,x,0.5,0.4,3,1", "a,heart,6,nnUNet,1,c,x,0.61235,0.5,,1"]
    assert (records / "cases.csv").read_text().splitlines()[1:] == cases
    assert add_records(report, "a", records) == 0
    # As a kill leaves them that comes between the two files.
    (records / "runs.csv").write_text("".join((records / "runs.csv").read_text().splitlines(keepends=True)[:2]))
    assert add_records(report, "a", records) == 1
    assert (records / "cases.csv").read_text().splitlines()[1:] == cases
    # Of another machine, the same seed is another training.
    assert add_records(report, "b", records) == 2


def test_a_training_of_another_dice_is_refused(folders: tuple[Path, Path]) -> None:
    records, report = folders
    file = report / "runs.csv"
    file.write_text(file.read_text().replace("6,0.50,", "6,0.51,"))
    with pytest.raises(UserError, match=r"heart 6 nnUNet 0 has a Dice of 0.51 in .*, and 0.5 in the records"):
        add_records(report, "a", records)


@pytest.mark.parametrize("name", ["runs.csv", "cases.csv"])
def test_a_row_that_is_there_twice_is_refused(folders: tuple[Path, Path], name: str) -> None:
    records, report = folders
    content = (report / name).read_text()
    (row,) = [line for line in content.splitlines(keepends=True) if "nnUNet,1" in line]
    (report / name).write_text(content + row)
    with pytest.raises(UserError, match=rf"{name} has heart 6 nnUNet 1.* twice"):
        add_records(report, "a", records)


def test_a_training_of_another_length_is_refused(folders: tuple[Path, Path]) -> None:
    records, report = folders
    # Of another seed than the training that is there.
    content = (
        (report / "runs.csv")
        .read_text()
        .replace("0.61234567,40,", "0.61234567,80,")
        .replace("nnUNet,0,done", "nnUNet,0,failed")
    )
    (report / "runs.csv").write_text(content)
    before = (records / "runs.csv").read_bytes()
    expected = "heart in the series a would have trainings of 40 epochs of 200 steps and 80 epochs of 200 steps"
    with pytest.raises(UserError, match=expected):
        add_records(report, "a", records)
    assert (records / "runs.csv").read_bytes() == before


def test_a_folder_that_is_no_report_is_refused(folders: tuple[Path, Path]) -> None:
    records, report = folders
    before = (records / "runs.csv").read_bytes()
    cases = (report / "cases.csv").read_text()
    (report / "cases.csv").write_text(CASES)
    with pytest.raises(UserError, match=r"cases.csv has no case of heart 6 nnUNet 1"):
        add_records(report, "a", records)
    (report / "cases.csv").write_text(cases.replace("jaccard", "iou"))
    with pytest.raises(UserError, match=r"cases.csv and the records differ in the columns iou, jaccard"):
        add_records(report, "a", records)
    (report / "cases.csv").unlink()
    with pytest.raises(UserError, match=r"cases.csv is not there"):
        add_records(report, "a", records)
    (report / "runs.csv").write_text("state,a\ndone,b\n")
    with pytest.raises(UserError, match="differ in the columns a, arm"):
        add_records(report, "a", records)
    assert (records / "runs.csv").read_bytes() == before
