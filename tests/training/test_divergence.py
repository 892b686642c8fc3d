"""A training whose loss or weights are no longer finite stops, and keeps its last good checkpoint."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON
from nnunetv2_dycon.training.divergence import MAX_STEPS, Divergence
from nnunetv2_dycon.training.step import StepResult
from tests.settings import FULL_WEIGHTS_AT_ONCE

if TYPE_CHECKING:
    from tests.conftest import Workspace

GOOD = {"supervised": np.float32(0.5), "uncl": np.float32(2)}


def test_only_steps_in_a_row_count(tmp_path: Path) -> None:
    divergence = Divergence(tmp_path, "dycon")
    for _ in range(3):
        for _ in range(MAX_STEPS - 1):
            divergence.check_losses({**GOOD, "uncl": np.float32(math.nan)}, {"uncl": 1})
        divergence.check_losses(GOOD, {"uncl": 1})


@pytest.mark.parametrize("term", list(GOOD))
def test_the_message_has_all_values_and_the_last_good_checkpoint(tmp_path: Path, term: str) -> None:
    (tmp_path / "checkpoint_best.pth").touch()
    divergence = Divergence(tmp_path, "dycon")
    losses = {**GOOD, term: np.float32(math.inf)}
    for _ in range(MAX_STEPS - 1):
        divergence.check_losses(losses, {"uncl": 0.25})
    with pytest.raises(UserError) as error:
        divergence.check_losses(losses, {"uncl": 0.25})
    values = f"supervised {losses['supervised']:.4g}, uncl {losses['uncl']:.4g} (weight 0.25)"
    assert f"not been finite for {MAX_STEPS} steps: {values}." in str(error.value)
    assert f"the last good checkpoint is {tmp_path / 'checkpoint_best.pth'}" in str(error.value)
    assert 'section "dycon" of the plans' in str(error.value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_losses_are_read_as_they_are(dtype: torch.dtype) -> None:
    result = StepResult(
        torch.tensor(0.1, dtype=dtype),
        {"uncl": torch.tensor(2.0), "fecl": torch.tensor(math.nan)},
        {},
        *[torch.zeros(0)] * 3,
    )
    losses = result.read_losses()
    assert list(losses) == ["supervised", "uncl", "fecl"]
    assert losses["supervised"].dtype == result.supervised_loss.numpy().dtype
    assert losses["supervised"].shape == ()
    assert losses["supervised"] == result.supervised_loss.numpy()
    assert losses["uncl"] == 2
    assert math.isnan(losses["fecl"])


def test_a_training_stops_after_the_stated_number_of_steps(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A term that is not finite makes no weight bad where the gradients' scaler skips the steps, as here."""
    workspace.write_settings("nnUNetPlansOn", fecl_weight=0, **FULL_WEIGHTS_AT_ONCE)
    trainer = make_trainer(nnUNetTrainerDyCON, "nnUNetPlansOn", num_epochs=20)
    monkeypatch.setattr(trainer.method, "unlabeled_losses", _with_nan(trainer.method.unlabeled_losses))
    trainer.initialize()
    monkeypatch.setattr(trainer.step, "_update_weights", lambda: None)
    with pytest.raises(UserError, match=r"supervised [\d.]+, uncl nan \(weight 1\)"):
        trainer.run_training()
    assert 3 * trainer.current_epoch + trainer.steps_in_epoch == MAX_STEPS
    assert int(trainer.students.average.n_averaged) == MAX_STEPS


def _with_nan(losses: Callable) -> Callable:
    def replaced(*arguments: object) -> object:
        found = losses(*arguments)
        return replace(found, terms={name: value * math.nan for name, value in found.terms.items()})

    return replaced


def test_weights_that_are_not_finite_are_not_saved(
    make_trainer: Callable[..., nnUNetTrainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(nnUNetTrainerDyCON, num_epochs=3)
    trainer.save_every = 1
    trainer.initialize()
    loss = trainer.loss
    monkeypatch.setattr(trainer, "loss", lambda *args: loss(*args) * (math.nan if trainer.current_epoch else 1))
    with pytest.raises(UserError, match=r"weights are no longer finite \(losses: supervised nan"):
        trainer.run_training()
    checkpoint = torch.load(Path(trainer.output_folder) / "checkpoint_latest.pth", weights_only=False)
    assert checkpoint["current_epoch"] == 1
    assert all(torch.isfinite(weight).all() for weight in checkpoint["network_weights"].values())
