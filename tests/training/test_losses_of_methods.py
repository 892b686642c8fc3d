"""From the same seed and batches, every method has the losses over 20 steps that it had in release 0.1.0.

``losses_of_version_0_1_0.json`` was written by that release: the supervised loss and the unsupervised terms of each
step, null while a term does not count yet.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon import trainers
from nnunetv2_dycon.methods.dycon import DyCON
from tests.conftest import Workspace
from tests.settings import LABELED_BOXES, WITH_FECL

RECORDED = json.loads((Path(__file__).parent / "losses_of_version_0_1_0.json").read_text())


@pytest.mark.parametrize("name", RECORDED)
def test_losses_over_20_steps(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer], name: str) -> None:
    trainer_class = getattr(trainers, f"nnUNetTrainer{name}")
    plans = workspace.read_plans()
    section = trainer_class.method_class.settings_section
    plans["configurations"]["3d_fullres"][section] = {
        "warmup_fraction": 0.1,
        "rampup_fraction": 0.3,
        "unlabeled_foreground_fraction": 0,
        "wait_for_labels": False,
        **({**WITH_FECL, **LABELED_BOXES} if issubclass(trainer_class.method_class, DyCON) else {}),
    }
    workspace.write_plans(plans, "nnUNetPlansRecorded")
    trainer = make_trainer(trainer_class, "nnUNetPlansRecorded")
    trainer.num_iterations_per_epoch = 10
    trainer.on_train_start()
    found: dict[str, list[float]] = {term: [] for term in RECORDED[name]}
    for epoch in range(2):
        trainer.current_epoch = epoch
        trainer.on_train_epoch_start()
        for _ in range(10):
            loss = trainer.train_step(next(trainer.dataloader_train))["loss"]
            step = {"loss": float(loss), **trainer.statistics.pop_means()}
            for term, values in found.items():
                values.append(step[term])
    for term, recorded in RECORDED[name].items():
        expected = [float("nan") if value is None else value for value in recorded]
        # Equal to the last digit on the machine that recorded them; processors round differently.
        assert found[term] == pytest.approx(expected, rel=0.01, abs=1e-3, nan_ok=True), term
