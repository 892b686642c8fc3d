"""nnU-Net's own command lines on models of nnUNetTrainerDyCON, in new processes, as a user runs them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_dycon.methods.dycon_settings import DyCONSettings
from tests.scratch_environment import Environment

if TYPE_CHECKING:
    from tests.conftest import Workspace

CASE = ("501", "3d_fullres", "0")
PLANS = ("-p", "nnUNetPlansSmall")
DYCON = ("-tr", "nnUNetTrainerDyCONShort")
PLAIN = ("-tr", "nnUNetTrainerShort")
CPU = ("-device", "cpu")
ONE_PROCESS = ("-npp", "0", "-nps", "0")
FURTHER_PROCESSES = ("-npp", "1", "-nps", "1")
MODEL = "nnUNetTrainerDyCONShort__nnUNetPlansSmall__3d_fullres"


@pytest.fixture
def predict(workspace: Workspace, tmp_path: Path) -> Callable[..., Path]:
    def run(trainer: tuple[str, str], name: str, processes: Sequence[object]) -> Path:
        folder = tmp_path / name
        data = ("-i", workspace.raw / "imagesTs", "-o", folder, "--save_probabilities", *processes)
        workspace.run("nnUNetv2_predict", "-d", 501, "-c", "3d_fullres", "-f", 0, *trainer, *PLANS, *data, *CPU)
        return folder

    return run


def _read(folder: Path, case: str) -> tuple[np.ndarray, np.ndarray]:
    segmentation = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / f"{case}.nii.gz")))
    return segmentation, np.load(folder / f"{case}.npz")["probabilities"]


def test_from_training_to_export(
    workspace: Workspace, predict: Callable[..., Path], tmp_path: Path, dependencies: Path
) -> None:
    output = workspace.run("nnUNetv2_train", *CASE, *DYCON, *PLANS, *CPU, "--npz")
    fold = workspace.results / MODEL / "fold_0"
    assert "4 labeled and 4 unlabeled training cases, 2 validation cases" in output
    assert (fold / "checkpoint_final.pth").is_file()
    assert not list(fold.glob(".partial*"))
    assert len(list((fold / "validation").glob("*.npz"))) == 2

    shutil.rmtree(fold / "validation")
    workspace.run("nnUNetv2_train", *CASE, *DYCON, *PLANS, *CPU, "--val", "--val_best", "--npz")
    assert len(list((fold / "validation").glob("*.npz"))) == 2
    assert (fold / "validation" / "summary.json").is_file()

    workspace.run(
        "nnUNetv2_train", *CASE, *PLAIN, *PLANS, *CPU, "--npz", "-pretrained_weights", fold / "checkpoint_final.pth"
    )
    predictions = [predict(DYCON, "dycon", FURTHER_PROCESSES), predict(PLAIN, "plain", ONE_PROCESS)]
    workspace.run("nnUNetv2_ensemble", "-i", *predictions, "-o", tmp_path / "ensemble", "-np", 1)
    assert len(list((tmp_path / "ensemble").glob("*.nii.gz"))) == 2
    search = ("-c", "3d_fullres", "-tr", DYCON[1], PLAIN[1], "-f", "0", "-np", "1")
    workspace.run("nnUNetv2_find_best_configuration", 501, *PLANS, *search)
    assert (workspace.results / "inference_information.json").is_file()

    _check_export(workspace, predictions[0], tmp_path, dependencies)


def _check_export(workspace: Workspace, expected: Path, tmp_path: Path, dependencies: Path) -> None:
    """A stock nnU-Net gives the same probabilities and segmentations."""
    model, archive = tmp_path / "model", tmp_path / "model.zip"
    for output in (model, archive):
        workspace.run("nnunetv2_dycon", "export", "-d", 501, *DYCON, *PLANS, "-o", output)
    origin = json.loads((model / "fold_0" / "trained_with.json").read_text())
    assert origin["trainer"] == "nnUNetTrainerDyCONShort"
    assert origin["settings"]["uncl_weight"] == DyCONSettings().uncl_weight
    stock = Environment(tmp_path / "stock", dependencies)
    gone = stock.python("import nnunetv2_dycon", check=False)
    assert "ModuleNotFoundError" in gone.stderr
    installing = "from nnunetv2.model_sharing.entry_points import install_from_zip_entry_point as run; run()"
    predicting = "from nnunetv2.inference.predict_from_raw_data import predict_entry_point_modelfolder as run; run()"
    environment = {**workspace.environment, "nnUNet_results": str(tmp_path / "installed")}
    environment.pop("nnUNet_extTrainer")
    (tmp_path / "installed").mkdir()
    _run_stock(stock, installing, environment, archive)
    installed = tmp_path / "installed" / workspace.results.name / MODEL.replace("DyCONShort", "")
    assert (installed / "fold_0" / "checkpoint_final.pth").is_file()
    for file in model.rglob("*"):
        assert file.is_dir() or (installed / file.relative_to(model)).read_bytes() == file.read_bytes()
    output = tmp_path / "stock"
    data = ("-i", workspace.raw / "imagesTs", "-o", output, "--save_probabilities", *FURTHER_PROCESSES)
    _run_stock(stock, predicting, environment, "-m", installed, "-f", "0", *data, *CPU)
    for case in ("demo_010", "demo_011"):
        for theirs, ours in zip(_read(output, case), _read(expected, case), strict=True):
            assert np.array_equal(theirs, ours)


def _run_stock(stock: Environment, code: str, environment: dict[str, str], *arguments: object) -> None:
    main = f"if __name__ == '__main__':\n    {code}\n"
    script = stock.folder / "command.py"
    script.write_text(main)
    command = [stock.scripts / "python", script, *map(str, arguments)]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_a_killed_training_goes_on(workspace: Workspace) -> None:
    latest = workspace.results / MODEL / "fold_0" / "checkpoint_latest.pth"
    command = [str(Path(sys.executable).parent / "nnUNetv2_train"), *CASE, *DYCON, *PLANS, *CPU]
    with subprocess.Popen(
        command, env=workspace.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 300
        while not latest.is_file():
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    assert not latest.with_name("checkpoint_final.pth").exists()
    output = workspace.run("nnUNetv2_train", *CASE, *DYCON, *PLANS, *CPU, "--c")
    assert "Epoch 1" in output
    assert "Epoch 0" not in output
    assert latest.with_name("checkpoint_final.pth").is_file()


def test_an_error_is_one_sentence_and_no_traceback(workspace: Workspace) -> None:
    for file in (workspace.raw / "imagesUnlabeled").iterdir():
        file.unlink()
    output = workspace.run("nnUNetv2_train", *CASE, *DYCON, *PLANS, *CPU, expect=1)
    assert "Traceback" not in output
    assert output.rstrip().splitlines()[-1].startswith("Error: Dataset501_Tiny has no unlabeled scans")
    # The first is a trainer of the user's, in whose file nnU-Net also finds the second.
    for trainer in (DYCON, ("-tr", "nnUNetTrainerDyCON"), ("-tr", "nnUNetTrainerUAMT")):
        output = workspace.run("nnUNetv2_train", *CASE, *trainer, "-p", "nnUNetPlansMissing", *CPU, expect=1)
        assert "Traceback" not in output
        assert (
            "nnUNetPlansMissing.json is not there. Name others with -p (nnUNetPlans, nnUNetPlansSmall are there)"
            in output.rstrip().splitlines()[-1]
        )
