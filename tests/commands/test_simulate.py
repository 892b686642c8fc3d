from __future__ import annotations

import argparse
import shlex
from pathlib import Path

import pytest

from nnunetv2_dycon.commands.simulate import add_arguments, run
from nnunetv2_dycon.demo.dataset import write_demo_dataset
from nnunetv2_dycon.exceptions import UserError


def call(*arguments: object) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    run(parser.parse_args([str(argument) for argument in arguments]))


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An nnUNet_raw with the dataset 1 of seven labeled and two test cases."""
    monkeypatch.setenv("nnUNet_raw", str(tmp_path))
    for name in ("nnUNet_preprocessed", "nnUNet_results"):
        monkeypatch.delenv(name, raising=False)
    write_demo_dataset(tmp_path / "Dataset001_Source", labeled=7, unlabeled=0, test=2, shape=(12, 12, 12))
    return tmp_path


@pytest.mark.parametrize("source", [["-d", "1"], ["-d", "Dataset001_Source"], ["-i", "FOLDER"]])
def test_source_by_id_name_or_folder(raw: Path, source: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    call(*[str(raw / "Dataset001_Source") if part == "FOLDER" else part for part in source], "-o", "502", "-n", "5")
    output = capsys.readouterr().out
    assert "5 labeled, 2 unlabeled, 2 test cases" in output
    assert "nnUNetv2_train 502 3d_fullres 0 -tr nnUNetTrainerDyCON -device cpu" in output
    assert (raw / "Dataset502_Source_5labeled" / "dataset.json").is_file()


@pytest.mark.usefixtures("raw")
def test_fewer_labels_than_folds_are_trained_with_fold_all(capsys: pytest.CaptureFixture[str]) -> None:
    call("-d", "1", "-o", "502", "-n", "4")
    output = capsys.readouterr().out
    assert "nnUNetv2_train 502 3d_fullres all" in output
    assert "-f all" in output
    assert "cannot make its 5 folds" in output


def test_unlabeled_scans_of_the_source_are_said_to_be_left_out(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("-d", "1", "-o", "502", "-n", "4")
    assert "left out" not in capsys.readouterr().out
    folder = raw / "Dataset001_Source" / "imagesUnlabeled"
    folder.mkdir(exist_ok=True)
    (folder / "scan_0000.nii.gz").touch()
    call("-d", "1", "-o", "503", "-n", "4")
    assert f"1 file in {folder} left out: " in capsys.readouterr().out


def test_unknown_dataset(raw: Path) -> None:
    with pytest.raises(UserError, match="has no dataset with the ID or name 7"):
        call("-d", "7", "-o", "502", "-n", "4")
    (raw / "Dataset001_Other").mkdir()
    with pytest.raises(UserError, match="has 2 datasets with the ID or name 1"):
        call("-d", "1", "-o", "502", "-n", "4")


def test_source_is_needed_and_only_one(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for source in ([], ["-d", "1", "-i", raw]):
        with pytest.raises(SystemExit):
            call(*source, "-o", "502", "-n", "4")
    assert "not allowed with" in capsys.readouterr().err


def test_files_are_links_unless_copies_are_asked_for(raw: Path) -> None:
    call("-d", "1", "-o", "502", "-n", "4")
    call("-d", "1", "-o", "503", "-n", "4", "--copy")
    linked, copied = ([f.is_symlink() for f in raw.glob(f"Dataset50{n}_*/*/*.nii.gz")] for n in (2, 3))
    assert len(linked) == len(copied) == 4 + 4 + 3 + 2 + 2
    assert all(linked)
    assert not any(copied)


def test_what_to_do_next_can_be_pasted_where_a_folder_has_a_space(
    raw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (raw / "my scans").mkdir()
    monkeypatch.setenv("nnUNet_raw", str(raw / "my scans"))
    call("-i", str(raw / "Dataset001_Source"), "-o", "502", "-n", "5")
    commands = shlex.split(capsys.readouterr().out.replace("\\\n", " "))
    assert commands[commands.index("-i") + 1] == str(raw / "my scans" / "Dataset502_Source_5labeled" / "imagesTs")
    assert str(raw / "my scans" / "Dataset502_Source_5labeled" / "labelsTs") in commands
