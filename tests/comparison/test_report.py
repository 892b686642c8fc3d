"""``nnunetv2_dycon compare`` and its reports."""

from __future__ import annotations

import base64
import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from nnunetv2_dycon.commands.main import main


@pytest.fixture
def _two_trainers(write_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten cases, nine of which the second trainer segments better."""
    monkeypatch.setenv("nnUNet_results", str(tmp_path))
    for folder in ("raw", "preprocessed"):
        monkeypatch.setenv(f"nnUNet_{folder}", str(tmp_path / folder))
    cases = {f"case_{index}": (5, 10) for index in range(10)}
    for trainer, change in (("nnUNetTrainer", {}), ("nnUNetTrainerDyCON", dict.fromkeys(cases, (8, 10)))):
        of_trainer = {**cases, **change, "case_3": (5, 10) if not change else (2, 10)}
        write_model(f"{trainer}__nnUNetPlans__3d_fullres", {"0": of_trainer}, root=tmp_path / "Dataset501_X")


def test_names_with_dollar_signs_are_no_formulas(
    write_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("nnUNet_results", str(tmp_path))
    for trainer, voxels in (("nnUNetTrainer", 8), ("nnUNetTrainerDyCON", 5)):
        model = f"{trainer}__nnUNetPlans__3d_fullres"
        write_model(model, {"0": {"pat$_$1": (voxels, 10)}}, root=tmp_path / "Dataset501_X")
    assert main(["compare", "-d", "Dataset501_X", "-o", str(tmp_path / "report")]) == 0
    assert (tmp_path / "report" / "comparison.png").is_file()


@pytest.mark.usefixtures("_two_trainers")
def test_a_folder_that_cannot_be_written_to_is_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["compare", "-d", "501", "-o", str(tmp_path / "file")]) == 1
    printed = capsys.readouterr()
    assert not printed.out
    assert str(tmp_path / "file") in printed.err


@pytest.mark.usefixtures("_two_trainers")
def test_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "-d", "501"]) == 0
    output = capsys.readouterr().out
    assert output.startswith("Dataset501_X, fold 0\n")
    outer = next(line for line in output.splitlines() if line.startswith("outer"))
    # 2 * 5 / 15; and nine times 16 / 18, once 4 / 12.
    assert outer.split()[:5] == ["outer", "10", "0.6667", "0.8333", "+0.1667"]
    assert outer.split()[-3:] == ["9", "1", "better"]
    inner = next(line for line in output.splitlines() if line.startswith("inner"))
    assert inner.split()[-4:] == ["0", "0", "cannot", "tell"]
    worst = output.split("loses most")[1].split("Lowest Dice")[0]
    assert re.findall(r"case_\d", worst) == ["case_3"]


@pytest.mark.usefixtures("_two_trainers")
def test_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "reports" / "new"
    names = ["nnUNetTrainer__nnUNetPlans__3d_fullres", "nnUNetTrainerDyCON"]
    assert main(["compare", "-d", "501", "-tr", *names, "-o", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert sorted(file.name for file in folder.iterdir()) == [
        f"comparison.{kind}" for kind in ("csv", "html", "png", "txt")
    ]
    assert printed.startswith((folder / "comparison.txt").read_text())
    rows = list(csv.reader((folder / "comparison.csv").read_text().splitlines()))
    assert rows[0] == ["case", "class", *names]
    assert ["case_3", "outer", "0.666667", "0.333333"] in rows
    assert len(rows) == 1 + 10 * 2
    page = (folder / "comparison.html").read_text()
    assert "http" not in page
    assert "<td>case_3</td>" in page
    picture = base64.b64decode(page.split("base64,")[1].split('"')[0])
    assert picture == (folder / "comparison.png").read_bytes()
    assert Image.open(io.BytesIO(picture)).width > 900


@pytest.mark.usefixtures("_two_trainers")
def test_an_error_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "-d", "501", "-tr", "nnUNetTrainer", "nnUNetTrainerUAMT"]) == 1
    assert "nnUNetTrainerUAMT__nnUNetPlans__3d_fullres is not there: train nnUNetTrainerUAMT first" in (
        capsys.readouterr().err
    )
