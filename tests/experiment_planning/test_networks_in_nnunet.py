"""Each network from planning to prediction: nnUNetTrainerDyCON trains it, a stock nnU-Net takes it over."""

from __future__ import annotations

import multiprocessing
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.run.load_pretrained_weights import load_pretrained_weights
from nnunetv2.run.run_training import run_training_entry
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.commands.main import main
from nnunetv2_dycon.experiment_planning.networks import NETWORKS

if TYPE_CHECKING:
    from tests.conftest import Workspace

MODEL = ("-tr", "nnUNetTrainerDyCONShort", "-p", "nnUNetPlansNew")


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``nnUNetv2_train`` in this process, which saves a start, and on one thread."""

    def run(*arguments: str) -> None:
        monkeypatch.setattr(multiprocessing, "cpu_count", lambda: 1)
        monkeypatch.setattr(sys, "argv", ["nnUNetv2_train", *arguments, "-device", "cpu"])
        run_training_entry()

    return run


@pytest.mark.parametrize("network", NETWORKS)
def test_from_planning_to_prediction(
    workspace: Workspace,
    train: Callable[..., None],
    make_trainer: Callable[..., nnUNetTrainer],
    tmp_path: Path,
    network: str,
) -> None:
    other = "ResidualUNet" if network == "PlainConvUNet" else "PlainConvUNet"
    plan = ["plan", "-d", "501", "--network"]
    assert main([*plan, other, "-p", "nnUNetPlansSmall", "-o", "nnUNetPlansOther"]) == 0
    assert (
        main(
            [*plan, network, "-p", "nnUNetPlansOther", "-o", "nnUNetPlansNew", "fecl_weight=1", "wait_for_labels=false"]
        )
        == 0
    )

    workspace.write_splits({"train": ["demo_000", "demo_001"], "val": ["demo_002"]})
    train("501", "3d_fullres", "0", *MODEL)
    (log,) = workspace.results.glob("nnUNetTrainerDyCONShort__nnUNetPlansNew__3d_fullres/fold_0/training_log_*.txt")
    assert re.search(r"fecl_loss [1-9]", log.read_text())
    assert (log.parent / "validation" / "summary.json").is_file()
    model = tmp_path / "model"
    assert main(["export", "-d", "501", *MODEL, "-o", str(model)]) == 0

    trainer = make_trainer(nnUNetTrainer, "nnUNetPlansNew")
    trainer.initialize()
    assert type(trainer.network).__name__ == network
    load_pretrained_weights(trainer.network, str(model / "fold_0" / "checkpoint_final.pth"))
    trainer.run_training()
    stock_fold = Path(trainer.output_folder)

    image = np.random.default_rng(0).standard_normal((1, 20, 28, 24), dtype=np.float32)
    for folder, trained_fold in ((model, log.parent), (stock_fold.parent, stock_fold)):
        predictor = nnUNetPredictor(device=torch.device("cpu"), use_mirroring=False, allow_tqdm=False)
        predictor.initialize_from_trained_model_folder(str(folder), (0,))
        assert type(predictor.network).__name__ == network
        weights = torch.load(trained_fold / "checkpoint_final.pth", weights_only=False)["network_weights"]
        assert weights.keys() == predictor.network.state_dict().keys()
        for name, value in predictor.network.state_dict().items():
            assert torch.equal(value, weights[name])
        logits = predictor.predict_logits_from_preprocessed_data(torch.from_numpy(image))
        assert logits.shape == (3, 20, 28, 24)
        assert torch.isfinite(logits).all()
