"""The loss of nnUNetTrainerMeanTeacher."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.training.network.network_output import NetworkOutput
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerMeanTeacher import nnUNetTrainerMeanTeacher


def test_it_is_the_mean_squared_error_of_the_first_output(make_trainer: Callable[..., nnUNetTrainer]) -> None:
    trainer = make_trainer(nnUNetTrainerMeanTeacher)
    student, teacher = torch.randn(2, 3, 4, 4, 4), torch.randn(2, 3, 4, 4, 4)
    output = NetworkOutput([student, torch.randn(2, 3, 2, 2, 2)], None)
    losses = trainer.unlabeled_losses(output, NetworkOutput(teacher, None))
    expected = (student.softmax(1) - teacher.softmax(1)).square().mean()
    assert losses == {"consistency": pytest.approx(expected.item())}
    assert trainer.term_weights() == {"consistency": 10}
