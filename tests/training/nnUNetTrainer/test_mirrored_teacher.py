"""The teacher sees its view mirrored."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.training.network.network_output import full_resolution
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerDyCON import nnUNetTrainerDyCON
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerDyCONCoTraining import nnUNetTrainerDyCONCoTraining
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerSemiSupervised import nnUNetTrainerSemiSupervised

if TYPE_CHECKING:
    from tests.conftest import Workspace

MIRRORING_AXES = (1, 2)
WAYS = ([], [3], [4], [3, 4])  # of mirroring (B, C, X, Y, Z) along these


@pytest.fixture
def start(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]) -> Callable[..., nnUNetTrainerDyCON]:
    def start(
        trainer_class: type[nnUNetTrainerSemiSupervised] = nnUNetTrainerDyCON, **settings: object
    ) -> nnUNetTrainerSemiSupervised:
        plans = workspace.read_plans()
        plans["configurations"]["3d_fullres"][trainer_class.settings_section] = settings
        workspace.write_plans(plans, "nnUNetPlansMirrored")
        trainer = make_trainer(trainer_class, "nnUNetPlansMirrored")
        trainer.on_train_start()
        # As a trainer with fewer mirroring axes sets it.
        trainer.inference_allowed_mirroring_axes = MIRRORING_AXES
        return trainer

    return start


def passes(network: torch.nn.Module, weak: torch.Tensor) -> list[torch.Tensor]:
    """The network's logits on the view mirrored in each of the allowed ways, mirrored back."""
    with torch.no_grad():
        return [full_resolution(network(weak.flip(axes))).flip(axes) for axes in WAYS]


def how_often_each(passes: list[torch.Tensor], outputs: list[torch.Tensor]) -> list[int]:
    counts = [sum(torch.allclose(output, one, atol=1e-5) for output in outputs) for one in passes]
    assert sum(counts) == len(outputs), "an output is of none of the allowed ways, or of two"
    return counts


def test_logits_are_those_of_a_mirrored_view_mirrored_back(start: Callable[..., nnUNetTrainerDyCON]) -> None:
    trainer = start()
    weak, _ = trainer._next_views()
    outputs = [trainer._forward_teacher(weak).logits for _ in range(40)]
    assert all(how_often_each(passes(trainer.teacher.module["network"], weak), outputs))


def test_bottleneck_features_are_mirrored_back_too(start: Callable[..., nnUNetTrainerDyCON]) -> None:
    trainer = start()
    weak, _ = trainer._next_views()
    expected = []
    for axes in WAYS:
        trainer.teacher.module["network"](weak.flip(axes))
        expected.append(trainer.bottleneck_readers["teacher"].take().detach().flip(axes))
    outputs = [trainer._forward_teacher(weak).bottleneck for _ in range(40)]
    assert all(how_often_each(expected, outputs))


def test_it_is_a_setting(start: Callable[..., nnUNetTrainerDyCON]) -> None:
    trainer = start(mirrored_teacher=False)
    weak, _ = trainer._next_views()
    outputs = [trainer._forward_teacher(weak).logits for _ in range(8)]
    assert how_often_each(passes(trainer.teacher.module["network"], weak), outputs) == [8, 0, 0, 0]


def test_the_teachers_output_can_take_part_in_a_graph(start: Callable[..., nnUNetTrainerDyCON]) -> None:
    trainer = start(mirrored_teacher=False)
    teacher = trainer._forward_teacher(trainer._next_views()[0])
    assert not teacher.logits.is_inference()
    assert not teacher.bottleneck.is_inference()


def test_of_two_students_each_sees_a_mirrored_view_when_it_teaches(start: Callable[..., nnUNetTrainerDyCON]) -> None:
    trainer = start(nnUNetTrainerDyCONCoTraining)
    weak, _ = trainer._next_views()
    outputs = [trainer._forward_without_gradients(weak).logits for _ in range(40)]
    assert all(how_often_each(passes(trainer.student_network, weak), outputs))
