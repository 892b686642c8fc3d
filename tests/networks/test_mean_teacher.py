"""The teacher is the exponential moving average that the formula says."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from nnunetv2_dycon.networks.mean_teacher import MeanTeacher, borrowed_weights


def linear(weight: float) -> nn.Linear:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, weight)
    return layer


def network_with_buffers(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1))
    network(torch.randn(4, 1, 5, 5))
    return network


def state_of(network: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(network.state_dict())


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_the_average_follows_the_formula() -> None:
    teacher = MeanTeacher(linear(100), decay=0.6)
    # d = min(1 - 1/(t+1), 0.6) is 0, 1/2, 0.6, 0.6.
    for weight, expected in [(4, 4), (2, 3), (7, 0.6 * 3 + 0.4 * 7), (-1, 0.6 * 4.6 - 0.4)]:
        teacher.update_parameters(linear(weight))
        assert teacher.module.weight.item() == pytest.approx(expected, rel=1e-6)


def test_before_the_first_step_it_is_the_student() -> None:
    assert MeanTeacher(linear(3), decay=0.9).module.weight.item() == 3


def test_it_shares_no_memory_with_the_student() -> None:
    student = linear(1)
    teacher = MeanTeacher(student, decay=0.9)
    nn.init.constant_(student.weight, 5)
    assert teacher.module.weight.item() == 1


def test_buffers_are_those_of_the_student() -> None:
    teacher = MeanTeacher(network_with_buffers(0), decay=0.9)
    for seed in (1, 2):
        student = network_with_buffers(seed)
        teacher.update_parameters(student)
        assert_same(dict(teacher.module.named_buffers()), dict(student.named_buffers()))
    assert not torch.equal(teacher.module[0].weight, student[0].weight)


def test_it_stays_in_evaluation_mode_and_asks_for_no_gradients() -> None:
    student = network_with_buffers(0)
    teacher = MeanTeacher(student, decay=0.9)
    assert not any(module.training for module in teacher.modules())
    assert teacher.train() is teacher
    assert not any(module.training for module in teacher.modules())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert all(module.training for module in student.modules())
    assert all(parameter.requires_grad for parameter in student.parameters())


def test_copying_the_student_starts_the_average_again() -> None:
    teacher = MeanTeacher(network_with_buffers(0), decay=0.9)
    for seed in (1, 2, 3):
        teacher.update_parameters(network_with_buffers(seed))
    student = network_with_buffers(4)
    teacher.copy_student(student)
    assert_same(teacher.module.state_dict(), student.state_dict())
    student = network_with_buffers(5)
    teacher.update_parameters(student)
    assert_same(teacher.module.state_dict(), student.state_dict())


def test_a_restored_teacher_goes_on_as_the_saved_one() -> None:
    saved = MeanTeacher(linear(0), decay=0.8)
    for weight in (1, 2, 3):
        saved.update_parameters(linear(weight))
    restored = MeanTeacher(linear(9), decay=0.8)
    restored.load_state_dict(copy.deepcopy(saved.state_dict()))
    assert_same(restored.state_dict(), saved.state_dict())
    for teacher in (saved, restored):
        teacher.update_parameters(linear(10))
    assert_same(restored.state_dict(), saved.state_dict())


def test_borrowed_weights_are_in_force_in_the_block_and_given_back_after() -> None:
    network, lender = network_with_buffers(0).eval(), network_with_buffers(1).eval()
    own, lent = state_of(network), state_of(lender)
    addresses = [parameter.data_ptr() for parameter in network.parameters()]
    image = torch.randn(2, 1, 4, 4)
    with borrowed_weights(network, lender):
        assert torch.equal(network(image), lender(image))
        assert [parameter.data_ptr() for parameter in network.parameters()] == addresses
        nn.init.zeros_(network[0].weight)
    assert_same(network.state_dict(), own)
    assert_same(lender.state_dict(), lent)


def test_weights_are_given_back_after_an_exception() -> None:
    network = network_with_buffers(0)
    own = state_of(network)
    with pytest.raises(KeyboardInterrupt), borrowed_weights(network, network_with_buffers(1)):
        raise KeyboardInterrupt
    assert_same(network.state_dict(), own)
