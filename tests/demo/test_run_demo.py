from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from nnunetv2_dycon.commands.main import main
from nnunetv2_dycon.demo.run_demo import DATASET, MARKER, run_demo
from nnunetv2_dycon.demo.short_training import DYCON_TRAINER, PLAIN_TRAINER
from nnunetv2_dycon.exceptions import UserError


def test_leaves_a_folder_alone_that_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    for overwrite in (False, True):
        with pytest.raises(UserError, match="not made by the demo"):
            run_demo(tmp_path, epochs=1, steps=1, overwrite=overwrite)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_keeps_an_earlier_demo_unless_told_otherwise(tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text("{}")
    (tmp_path / "results.md").write_text("earlier")
    with pytest.raises(UserError, match="--overwrite"):
        run_demo(tmp_path, epochs=1, steps=1)
    assert (tmp_path / "results.md").read_text() == "earlier"


@pytest.mark.parametrize(("epochs", "steps"), [(0, 1), (1, 0)])
def test_refuses_a_training_of_no_length(tmp_path: Path, epochs: int, steps: int) -> None:
    with pytest.raises(UserError, match="at least 1"):
        run_demo(tmp_path / "demo", epochs=epochs, steps=steps)
    assert not (tmp_path / "demo").exists()


@pytest.mark.skipif(os.environ.get("CUDA_VISIBLE_DEVICES") != "", reason="a GPU may be there")
def test_says_that_there_is_no_gpu(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="-device cpu"):
        run_demo(tmp_path / "demo", epochs=1, steps=1, device="cuda")
    assert not (tmp_path / "demo").exists()


def test_refuses_a_seed_that_numpy_does_not_take(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--seed must be at least 0"):
        run_demo(tmp_path / "demo", epochs=1, steps=1, seed=-1)
    assert not (tmp_path / "demo").exists()


def test_two_trainers_share_plans_and_seed_and_the_end_says_what_to_type_next(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "demo"
    options = ("--epochs", "1", "--steps", "1", "--seed", "7", "-device", "cpu")
    assert main(["demo", "-o", str(folder), *options]) == 0
    printed = capfd.readouterr().out
    trained = []
    for trainer in (PLAIN_TRAINER, DYCON_TRAINER):
        model = folder / "nnUNet_results" / DATASET / f"{trainer}__nnUNetPlansDemo__3d_fullres"
        checkpoint = model / "fold_all" / "checkpoint_final.pth"
        trained.append(torch.load(checkpoint, weights_only=False, map_location="cpu"))
        assert (folder / "predictions" / trainer / "summary.json").is_file()
    plain, dycon = (each["init_args"]["plans"] for each in trained)
    assert plain["configurations"] == dycon["configurations"]
    assert "random.seed(7)" in (folder / "trainers" / "demo_trainers.py").read_text()
    # One step leads away from the weights that both began with by less than other weights would be.
    weights = [torch.cat([value.flatten() for value in each["network_weights"].values()]) for each in trained]
    assert torch.nn.functional.cosine_similarity(*weights, dim=0) > 0.9
    assert (folder / "demo.png").is_file()
    table, shown, following = (printed.index(text) for text in ("| DyCON |", "largest difference", "Next, with your"))
    assert table < shown < following
    assert printed.rstrip().endswith("-tr nnUNetTrainerDyCON -device cpu")
    split = json.loads((folder / "nnUNet_raw" / DATASET / "dataset.json").read_text())
    assert split["numTraining"] == 4
