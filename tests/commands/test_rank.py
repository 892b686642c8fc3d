"""``nnunetv2_dycon rank`` and ``add-labels``, from a training to a training with more labels."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from PIL import Image

from nnunetv2_dycon.annotation.features import nnUNetFeaturePredictor
from nnunetv2_dycon.commands.main import main
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON
from tests.conftest import Workspace
from tests.uncertainty.models import preprocess_in_this_process, train_again, write_model

UNLABELED = [f"demo_{number:03d}" for number in range(6, 10)]


def read_ranking(folder: Path) -> list[dict[str, str]]:
    with (folder / "ranking.csv").open() as file:
        return list(csv.DictReader(file))


def test_from_training_to_more_labels(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer], tmp_path: Path
) -> None:
    trainer = make_trainer(nnUNetTrainerDyCON)
    trainer.run_training()
    folder = tmp_path / "annotate"
    model = ("-d", 501, "-tr", "nnUNetTrainerDyCON", "-p", "nnUNetPlansSmall")
    fast = ("-device", "cpu", "-npp", 1, "--disable_tta")
    output = workspace.run("nnunetv2_dycon", "rank", *model, *fast, "-n", 2, "--annotate", folder)
    assert "Reading labeled scans" in output
    assert "6/6" in output
    assert "the first 2 of 4 unlabeled scans to annotate" in output
    ranking = Path(trainer.output_folder).parent / "ranking"
    rows = read_ranking(ranking)
    assert sorted(row["case"] for row in rows) == UNLABELED
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4"]
    first, second = rows[0]["case"], rows[1]["case"]
    assert f"   1  {first}" in output
    assert rows[2]["case"] not in output.split("to annotate\n")[1]
    for case in UNLABELED:
        assert np.asarray(Image.open(ranking / "pictures" / f"{case}.png")).std() > 0
        assert (ranking / f"{case}.nii.gz").is_file()
    assert sorted(file.name for file in (folder / "images").iterdir()) == sorted(
        f"{case}_0000.nii.gz" for case in (first, second)
    )
    # Folds that put nothing off limits: nobody has touched the dataset.
    assert len(list((workspace.raw / "imagesUnlabeled").iterdir())) == 4

    # The annotator corrects the first.
    file = folder / "labels" / f"{first}.nii.gz"
    segmentation = sitk.ReadImage(str(file))
    segmentation[2, 2, 2] = 2 - segmentation[2, 2, 2]
    sitk.WriteImage(segmentation, str(file))
    output = workspace.run("nnunetv2_dycon", "add-labels", "-d", 501, "-i", folder)
    assert f"{first}: labeled now." in output
    assert f"{second}: left out: unchanged since rank wrote the label." in output
    assert "Dataset501_Tiny has 7 labeled cases." in output
    assert "nnUNetv2_preprocess -d 501 -c 3d_fullres -plans_name nnUNetPlans" in output
    assert json.loads((workspace.preprocessed / "splits_final.json").read_text())[0]["train"][-1] == first
    plans = ("-plans_name", "nnUNetPlansSmall", "-np", 1)
    workspace.run("nnUNetv2_preprocess", "-d", 501, "-c", "3d_fullres", *plans)
    trainer = make_trainer(nnUNetTrainerDyCON, num_epochs=1)
    trainer.initialize()
    trainer.on_train_start()
    assert first in trainer.dataloader_train.data_loader._data.identifiers
    assert first not in trainer.unlabeled_data.identifiers
    trainer.on_train_end()


def test_ranking_with_a_model_of_nnunet_goes_on_where_it_ended(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    preprocess_in_this_process(monkeypatch)
    workspace.write_splits({"train": ["demo_000", "demo_001"], "val": ["demo_002"], "unlabeled": ["demo_003"]})
    # Never opened.
    (workspace.raw / "labelsTr" / "demo_003.nii.gz").write_bytes(b"")
    model, output = write_model(workspace, num_folds=2), tmp_path / "output"
    command = ["rank", "-d", "501", "-m", str(model), "-o", str(output), "-device", "cpu", "-npp", "1"]
    assert main([*command, "--by", "uncertainty"]) == 0
    rows = read_ranking(output)
    assert sorted(row["case"] for row in rows) == ["demo_003", *UNLABELED]
    uncertainties = [float(row["uncertainty"]) for row in rows]
    assert uncertainties == sorted(uncertainties, reverse=True)
    assert not (output / "ranking.png").exists()
    assert "Reading labeled scans" not in capsys.readouterr().err

    # Features are missing so far.
    assert main([*command, "--continue_prediction", "-n", "99"]) == 0
    assert "0 of 5 cases are done" in capsys.readouterr().out
    both = read_ranking(output)
    assert {row["case"]: row["uncertainty"] for row in both} == {row["case"]: row["uncertainty"] for row in rows}
    assert all(float(row["distance"]) > 0 for row in both)
    assert (output / "ranking.png").is_file()
    features = json.loads((output / "cases" / "demo_004.json").read_text())["features"]
    assert len(features) == 2 * 16

    assert main([*command, "--continue_prediction", "--by", "diversity", "-n", "1"]) == 0
    captured = capsys.readouterr()
    assert "5 of 5 cases are done" in captured.out
    assert "Predicting" not in captured.err
    scores = [float(row["score"]) for row in read_ranking(output)]
    assert scores == sorted(scores, reverse=True)
    assert main([*command, "--continue_prediction", "-f", "1"]) == 1
    assert "was predicted with folds [0, 1], not [1]" in capsys.readouterr().err
    assert main([*command, "--continue_prediction", "--disable_tta"]) == 1
    assert "was predicted with mirroring, not without: leave --disable_tta out, choose" in capsys.readouterr().err
    train_again(model)
    assert main([*command, "--continue_prediction"]) == 1
    assert f"was predicted before {model.parent.name}/{model.name} was trained again" in capsys.readouterr().err

    # A new start that is stopped leaves nothing of the order before, nor of a case that is no candidate now.
    (output / "cases" / "demo_gone.json").touch()

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(nnUNetFeaturePredictor, "predict_features", stop)
    with pytest.raises(KeyboardInterrupt):
        main(command)
    assert not list((output / "cases").iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "is not a trained model: there is no plans.json"),
        (["-n", "0"], "-n must be at least 1, not 0."),
        (["-npp", "0"], "-npp must be at least 1, not 0."),
        (["-step_size", "0"], "-step_size must be above 0 and at most 1, not 0.0."),
        (["--annotate", "nnUNet_raw"], "nnUNet_raw is there and not empty, and annotations in it could be lost"),
        (["-d", "777"], "no dataset with the ID 777"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_predicted(
    workspace: Workspace,
    options: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(workspace.root)
    assert main(["rank", "-d", "501", "-device", "cpu", *options]) == 1
    error = capsys.readouterr().err
    assert error.startswith("Error: ")
    assert message in error
