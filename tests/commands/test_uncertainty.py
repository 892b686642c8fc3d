"""``nnunetv2_dycon uncertainty``, from a training on."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from PIL import Image

from nnunetv2_dycon.commands.main import main
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON
from tests.conftest import Workspace

CASES = ("demo_010", "demo_011")
CHECKPOINT = "checkpoint_final.pth"
MODEL = ("-d", 501, "-c", "3d_fullres", "-tr", "nnUNetTrainerDyCON", "-p", "nnUNetPlansSmall")


def _add_fold(fold: Path, other: Path) -> None:
    """Another fold with weights that differ a little."""
    shutil.copytree(fold, other)
    checkpoint = torch.load(fold / CHECKPOINT, weights_only=False)
    generator = torch.Generator().manual_seed(0)
    for weights in checkpoint["network_weights"].values():
        weights *= 1 + 0.3 * torch.randn(weights.shape, generator=generator)
    torch.save(checkpoint, other / CHECKPOINT)


def test_from_training_to_a_table(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer], tmp_path: Path
) -> None:
    trainer = make_trainer(nnUNetTrainerDyCON)
    trainer.run_training()
    fold = Path(trainer.output_folder)
    _add_fold(fold, fold.with_name("fold_1"))

    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    data = ("-i", workspace.raw / "imagesTs", "-f", 0, 1, "-device", "cpu", "-npp", 1)
    output = workspace.run("nnunetv2_dycon", "uncertainty", *MODEL, *data, "-o", ours)
    assert f"{ours}: segmentations, entropy, mutual information, pictures and uncertainty.csv of 2 cases." in output
    assert "66/66" in output
    workspace.run("nnUNetv2_predict", *MODEL, *data, "-o", theirs, "-npp", 0, "-nps", 0)

    record = json.loads((ours / "uncertainty.json").read_text())
    assert (record["members"], record["folds"]) == (16, [0, 1])
    rows = list(csv.DictReader((ours / "uncertainty.csv").read_text().splitlines()))
    labels = workspace.read_dataset_json()["labels"]
    assert [(row["case"], row["class"]) for row in rows] == [
        (case, name) for case in CASES for name in labels if name != "background"
    ]
    for case in CASES:
        scan = sitk.ReadImage(str(workspace.raw / "imagesTs" / f"{case}_0000.nii.gz"))
        segmentation = (ours / f"{case}.nii.gz").read_bytes()
        assert segmentation == (theirs / f"{case}.nii.gz").read_bytes()
        for name in ("entropy", "mutual_information"):
            image = sitk.ReadImage(str(ours / name / f"{case}.nii.gz"))
            assert image.GetPixelID() == sitk.sitkFloat32
            for geometry in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
                assert getattr(image, geometry)() == getattr(scan, geometry)()
        assert np.asarray(Image.open(ours / "pictures" / f"{case}.png")).std() > 0
        volume = float(np.prod(scan.GetSpacing()))
        for row in (row for row in rows if row["case"] == case):
            assert float(row["volume_mm3"]) == pytest.approx(int(row["voxels"]) * volume, rel=1e-5)
    # nnU-Net's own files: the folder can be evaluated and ensembled as that of nnUNetv2_predict.
    names = {file.name for file in theirs.iterdir()}
    extra = {"entropy", "mutual_information", "pictures", "uncertainty.csv", "uncertainty.json"}
    assert {file.name for file in ours.iterdir()} == names | extra


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-d", "501"], "is not a trained model: there is no plans.json. Check -d, -c, -p and -tr, or -m."),
        ([], "Name the model: either by its dataset, -d with -c, -p and -tr, or by its folder, -m."),
        (["-d", "501", "-m", "model"], "Name the model: either"),
        (["-d", "501", "-npp", "0"], "-npp must be at least 1, not 0."),
        (["-d", "501", "-step_size", "1.5"], "-step_size must be above 0 and at most 1, not 1.5."),
        (["-d", "777"], "no dataset with the ID 777"),
    ],
)
def test_what_is_wrong_is_said_before_the_folder_is_made(
    workspace: Workspace, tmp_path: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["-i", str(workspace.raw / "imagesTs"), "-o", str(tmp_path / "output"), "-device", "cpu"]
    assert main(["uncertainty", *data, *options]) == 1
    error = capsys.readouterr().err
    assert error.startswith("Error: ")
    assert message in error
    assert not (tmp_path / "output").exists()
