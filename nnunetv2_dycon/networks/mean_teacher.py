"""The teacher: an exponential moving average of the student."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class MeanTeacher(AveragedModel):
    """Exponential moving average of a student (Tarvainen & Valpola 2017, arXiv:1703.01780).

    After step t (counted from 0) it is ``d * teacher + (1 - d) * student`` with ``d = min(1 - 1/(t+1), decay)``, so the
    first steps are a plain mean and the first step of all is a copy. Buffers (running statistics of norms that have
    them) are the student's. It is in evaluation mode and asks for no gradients.

    Args:
        student: the module to average; its weights are the initial ones.
        decay: the largest d, in [0, 1).
    """

    def __init__(self, student: nn.Module, decay: float) -> None:
        super().__init__(student)
        self.decay = decay
        self.requires_grad_(False)
        self.eval()

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Average in the student after a step; AveragedModel's own waits for the GPU to read its step counter."""
        decay = min(1 - 1 / (int(self.n_averaged) + 1), self.decay)
        torch._foreach_lerp_(list(self.module.parameters()), list(model.parameters()), 1 - decay)
        _copy(list(self.module.buffers()), list(model.buffers()))
        self.n_averaged += 1

    def copy_student(self, student: nn.Module) -> None:
        """Start again from the student's present weights; steps are counted from 0 again."""
        with torch.no_grad():
            _copy(_tensors(self.module), _tensors(student))
            self.n_averaged.zero_()

    def train(self, mode: bool = True) -> MeanTeacher:
        """Stay in evaluation mode, whatever ``mode`` is: a teacher's norms must not follow its inputs."""
        return super().train(False)


@contextmanager
def borrowed_weights(network: nn.Module, lender: nn.Module) -> Iterator[None]:
    """Give a network the weights of another for the length of a ``with`` block, then its own again, bit for bit.

    It works for compiled and distributed networks alike since tensors are written in place.
    """
    with torch.no_grad():
        own = [tensor.clone() for tensor in _tensors(network)]
        _copy(_tensors(network), _tensors(lender))
    try:
        yield
    finally:
        with torch.no_grad():
            _copy(_tensors(network), own)


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def _copy(targets: list[Tensor], sources: list[Tensor]) -> None:
    for target, source in zip(targets, sources, strict=True):
        target.copy_(source)
