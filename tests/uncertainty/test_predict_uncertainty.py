"""What lies in the folder afterwards: regions, 2D, a single member, and continuing."""

from __future__ import annotations

import csv
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.special import xlogy

from nnunetv2_dycon.commands.main import main
from tests.conftest import Workspace
from tests.uncertainty.models import CASES, predict_with_nnunet, preprocess_in_this_process, train_again, write_model


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    preprocess_in_this_process(monkeypatch)


def run(workspace: Workspace, model: Path, output: Path, *options: str, expect: int = 0) -> None:
    arguments = ["-i", str(workspace.raw / "imagesTs"), "-o", str(output), "-m", str(model), "-npp", "1"]
    assert main(["uncertainty", *arguments, "-device", "cpu", *options]) == expect


def read_image(file: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(file)))


def read_rows(output: Path) -> dict[tuple[str, str], dict[str, str]]:
    with (output / "uncertainty.csv").open() as file:
        return {(row["case"], row["class"]): row for row in csv.DictReader(file)}


@pytest.mark.usefixtures("_quick")
def test_regions_sum_their_entropies(workspace: Workspace, tmp_path: Path) -> None:
    workspace.write_labels(regions=True)
    model, output = write_model(workspace), tmp_path / "output"
    # One fold without mirroring, whose mean is nnU-Net's own probabilities.
    run(workspace, model, output, "-f", "1", "--disable_tta")
    predict_with_nnunet(workspace, model, tmp_path / "theirs", (1,), use_mirroring=False)
    rows = read_rows(output)
    assert list(rows) == [(case, region) for case in CASES for region in ("whole", "inner")]
    assert not (output / "mutual_information").exists()
    for case in CASES:
        segmentation = read_image(output / f"{case}.nii.gz")
        assert np.array_equal(segmentation, read_image(tmp_path / "theirs" / f"{case}.nii.gz"))
        p = np.load(tmp_path / "theirs" / f"{case}.npz")["probabilities"].astype(np.float64)
        entropy = read_image(output / "entropy" / f"{case}.nii.gz")
        expected = -(xlogy(p, p) + xlogy(1 - p, 1 - p)).sum(0)
        assert np.allclose(entropy, expected, atol=1e-5)
        for channel, (region, labels) in enumerate({"whole": (1, 2), "inner": (2,)}.items()):
            row, predicted = rows[case, region], np.isin(segmentation, labels)
            assert int(row["voxels"]) == predicted.sum() > 0
            assert float(row["mean_entropy"]) == pytest.approx(entropy[predicted].mean(), rel=1e-4)
            dice = 2 * p[channel][predicted].sum() / (p[channel].sum() + predicted.sum())
            assert float(row["expected_dice"]) == pytest.approx(dice, rel=1e-4)
            assert row["mean_mutual_information"] == ""


@pytest.mark.usefixtures("_quick")
def test_2d_of_volumes(workspace: Workspace, tmp_path: Path) -> None:
    model, output = write_model(workspace, "2d", num_folds=2), tmp_path / "output"
    run(workspace, model, output)
    predict_with_nnunet(workspace, model, tmp_path / "theirs")
    assert json.loads((output / "uncertainty.json").read_text())["members"] == 8
    for case in CASES:
        assert np.array_equal(read_image(output / f"{case}.nii.gz"), read_image(tmp_path / "theirs" / f"{case}.nii.gz"))
        entropy = read_image(output / "entropy" / f"{case}.nii.gz")
        information = read_image(output / "mutual_information" / f"{case}.nii.gz")
        assert entropy.max() <= math.log(3) + 1e-6
        assert (information >= 0).all()
        assert (information <= entropy + 1e-6).all()
        assert information.max() > 0.01


@pytest.mark.usefixtures("_quick")
def test_a_single_member_is_said_in_a_sentence_and_cases_that_are_done_are_left_alone(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, output = write_model(workspace, num_folds=2), tmp_path / "output"
    single = ("-f", "0", "--disable_tta", "--continue_prediction")
    run(workspace, model, output, *single)
    assert "a single member, whose mutual information is 0 by definition" in capsys.readouterr().out
    rows, times = read_rows(output), {file: file.stat().st_mtime_ns for file in output.glob("entropy/*")}
    assert len(times) == len(CASES)

    (output / "entropy" / "demo_010.nii.gz").unlink()
    run(workspace, model, output, *single)
    assert "1 of 2 cases are done" in capsys.readouterr().out
    assert read_rows(output) == rows
    again = {file: file.stat().st_mtime_ns for file in output.glob("entropy/*")}
    assert [file.name for file in again if again[file] == times[file]] == ["demo_011.nii.gz"]

    run(workspace, model, output, *single)
    assert "2 of 2 cases are done" in capsys.readouterr().out
    run(workspace, model, output, "-f", "1", "--disable_tta", "--continue_prediction", expect=1)
    assert "was predicted with folds [0], not [1]: choose another folder with -o" in capsys.readouterr().err


@pytest.mark.usefixtures("_quick")
def test_only_predictions_of_the_same_weights_and_mirroring_are_continued(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, output = write_model(workspace, num_folds=1), tmp_path / "output"
    run(workspace, model, output, "--disable_tta")
    assert "output: segmentations, entropy, pictures and uncertainty.csv of 2 cases." in capsys.readouterr().out
    record = json.loads((output / "uncertainty.json").read_text())
    copy = shutil.copytree(model, tmp_path / "copy")
    run(workspace, copy, output, "--disable_tta", "--continue_prediction")
    assert "2 of 2 cases are done" in capsys.readouterr().out

    def refused(model: Path, *options: str) -> str:
        run(workspace, model, output, "--continue_prediction", *options, expect=1)
        error = capsys.readouterr().err
        assert "or leave --continue_prediction out.\n" in error
        return error

    assert "was predicted without mirroring, not with it: add --disable_tta, choose another" in refused(copy)
    train_again(copy)
    assert f"was predicted before {tmp_path.name}/copy was trained again" in refused(copy, "--disable_tta")
    (output / "uncertainty.json").write_text(json.dumps(record))
    error = refused(copy, "--disable_tta")
    assert f"with checkpoint_final.pth of {model.parent.name}/{model.name}, not with checkpoint_final.pth of" in error
    del record["checkpoint_sha256"]
    (output / "uncertainty.json").write_text(json.dumps(record))
    assert "by an earlier version, which did not note the weights" in refused(model, "--disable_tta")


@pytest.mark.usefixtures("_quick")
def test_mutual_information_of_an_earlier_prediction_does_not_stay(workspace: Workspace, tmp_path: Path) -> None:
    model, output = write_model(workspace, num_folds=1), tmp_path / "output"
    stale = output / "mutual_information" / "demo_010.nii.gz"
    stale.parent.mkdir(parents=True)
    stale.touch()
    run(workspace, model, output, "--disable_tta")
    assert not stale.exists()


def test_a_scan_that_cannot_be_read_is_one_sentence(
    workspace: Workspace, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (workspace.raw / "imagesTs" / "demo_010_0000.nii.gz").write_bytes(b"no scan")
    run(workspace, write_model(workspace, num_folds=1), tmp_path / "output", "--disable_tta", expect=1)
    error = capfd.readouterr().err
    assert "Error: A scan could not be preprocessed, the message above says why" in error


@pytest.mark.usefixtures("_quick")
def test_the_table_alone_is_of_nnunets_mean_prediction(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, output = write_model(workspace, num_folds=2), tmp_path / "output"
    run(workspace, model, output, "--table_only")
    assert "output: segmentations and uncertainty.csv of 2 cases." in capsys.readouterr().out
    assert {file.name for file in output.iterdir() if file.is_dir()} == set()
    predict_with_nnunet(workspace, model, tmp_path / "theirs")
    rows = read_rows(output)
    for case in CASES:
        segmentation = read_image(output / f"{case}.nii.gz")
        assert np.array_equal(segmentation, read_image(tmp_path / "theirs" / f"{case}.nii.gz"))
        p = np.load(tmp_path / "theirs" / f"{case}.npz")["probabilities"].astype(np.float64)
        for label, name in ((1, "organ"), (2, "lesion")):
            row, predicted = rows[case, name], segmentation == label
            assert int(row["voxels"]) == predicted.sum() > 0
            dice = 2 * p[label][predicted].sum() / (p[label].sum() + predicted.sum())
            assert float(row["expected_dice"]) == pytest.approx(dice, rel=1e-4)
            assert row["mean_mutual_information"] == ""
    run(workspace, model, output, "--table_only", "--continue_prediction")
    assert "2 of 2 cases are done" in capsys.readouterr().out
    run(workspace, model, output, "--continue_prediction", expect=1)
    assert "was predicted with --table_only, not without: add --table_only, choose another" in capsys.readouterr().err


@pytest.mark.usefixtures("_quick")
def test_maps_are_neither_removed_for_a_table_nor_left_beside_another_one(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, output = write_model(workspace, num_folds=1), tmp_path / "output"
    run(workspace, model, output, "--disable_tta")
    times = {file: file.stat().st_mtime_ns for file in output.rglob("*")}
    run(workspace, model, output, "--disable_tta", "--table_only", expect=1)
    assert "entropy is of an earlier prediction, and --table_only writes none" in capsys.readouterr().err
    assert {file: file.stat().st_mtime_ns for file in output.rglob("*")} == times
    shutil.rmtree(output / "entropy")
    shutil.rmtree(output / "pictures")
    run(workspace, model, output, "--disable_tta", "--table_only", "--continue_prediction", expect=1)
    assert "was predicted without --table_only, not with it: leave --table_only out" in capsys.readouterr().err
