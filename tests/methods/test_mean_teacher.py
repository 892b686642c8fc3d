"""The loss of the mean teacher."""

from __future__ import annotations

import pytest
import torch

from nnunetv2_dycon.losses.label_space import Classes
from nnunetv2_dycon.methods.mean_teacher import MeanTeacher, MeanTeacherSettings
from nnunetv2_dycon.methods.method import Guidance, LabeledBatch, Prediction


def test_it_is_the_mean_squared_error_of_the_first_output() -> None:
    method = MeanTeacher(MeanTeacherSettings(), Classes())
    student, teacher = torch.randn(2, 3, 4, 4, 4), Prediction(torch.randn(2, 3, 4, 4, 4))
    strong = torch.randn(2, 1, 4, 4, 4)
    task = method.task(strong, Guidance((teacher,)), LabeledBatch(strong, strong))
    assert task.patches is strong
    losses = method.unlabeled_losses(Prediction([student, torch.randn(2, 3, 2, 2, 2)]), task, 0.5)
    expected = (student.softmax(1) - teacher.logits.softmax(1)).square().mean()
    assert losses.terms == {"consistency": pytest.approx(expected.item())}
    assert method.term_weights() == {"consistency": 10}
