"""Each network from planning to prediction: nnUNetTrainerDyCON trains it, a stock nnU-Net takes it over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.run.load_pretrained_weights import load_pretrained_weights
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.commands.main import main
from nnunetv2_dycon.experiment_planning.networks import NETWORKS

if TYPE_CHECKING:
    from tests.conftest import Workspace

DYCON = ("-tr", "nnUNetTrainerDyCONShort")
CPU = ("-device", "cpu")


@pytest.mark.parametrize("network", NETWORKS)
def test_from_planning_to_prediction(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer], tmp_path: Path, network: str
) -> None:
    other = "ResidualUNet" if network == "PlainConvUNet" else "PlainConvUNet"
    plan = ["plan", "-d", "501", "fecl_weight=1"]
    assert main([*plan, "-p", "nnUNetPlansSmall", "-o", "nnUNetPlansOther", "--network", other]) == 0
    assert main([*plan, "-p", "nnUNetPlansOther", "-o", "nnUNetPlansNew", "--network", network]) == 0
    plans = ("-p", "nnUNetPlansNew")

    output = workspace.run("nnUNetv2_train", 501, "3d_fullres", 0, *DYCON, *plans, *CPU)
    assert "fecl_weight: 1" in output
    model = tmp_path / "model"
    assert main(["export", "-d", "501", *DYCON, *plans, "-o", str(model)]) == 0
    checkpoint = model / "fold_0" / "checkpoint_final.pth"

    trainer = make_trainer(nnUNetTrainer, "nnUNetPlansNew")
    trainer.initialize()
    assert type(trainer.network).__name__ == network
    load_pretrained_weights(trainer.network, str(checkpoint))
    trainer.run_training()
    stock_model = Path(trainer.output_folder).parent

    image = np.random.default_rng(0).standard_normal((1, 20, 28, 24), dtype=np.float32)
    for folder in (model, stock_model):
        predictor = nnUNetPredictor(device=torch.device("cpu"), use_mirroring=False, allow_tqdm=False)
        predictor.initialize_from_trained_model_folder(str(folder), (0,))
        assert type(predictor.network).__name__ == network
        weights = torch.load(folder / "fold_0" / "checkpoint_final.pth", weights_only=False)["network_weights"]
        for name, value in predictor.network.state_dict().items():
            assert torch.equal(value, weights[name])
        logits = predictor.predict_logits_from_preprocessed_data(torch.from_numpy(image))
        assert logits.shape == (3, 20, 28, 24)
        assert torch.isfinite(logits).all()
