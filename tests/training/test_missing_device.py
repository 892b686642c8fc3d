"""A GPU that PyTorch does not find is refused before anything is built."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there(make_trainer: Callable[..., nnUNetTrainer], device: str) -> None:
    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("this machine has the device")
    trainer = make_trainer(nnUNetTrainerDyCON)
    trainer.device = torch.device(device)
    with pytest.raises(UserError, match=f"finds no {device} device on this machine: take -device cpu"):
        trainer.initialize()
