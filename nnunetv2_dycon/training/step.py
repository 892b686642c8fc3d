"""One training step of all students on a labeled and an unlabeled batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nnunetv2_dycon.methods.method import Batch, Guidance, LabeledBatch, Losses, Method, Prediction, full_resolution
from nnunetv2_dycon.training.students import Student, Students

_MAX_GRADIENT_NORM = 12  # nnUNetTrainer.train_step

Target = Tensor | list[Tensor]


class StepResult(NamedTuple):
    """What a step yields, of the first student; all tensors are detached.

    Attributes:
        supervised_loss: a scalar.
        terms: the value of each unsupervised term, summed over both batches, not weighted.
        statistics: what the method's losses carry.
    """

    supervised_loss: Tensor
    terms: dict[str, Tensor]
    statistics: dict[str, Tensor | float]


class TwoStreamStep:
    """The step, in which both batches are passed forward and backward in turn.

    That sums their gradients with the memory of one. Follows nnUNetTrainer.train_step of 2.8.1 in everything else.

    Args:
        students: the networks.
        method: of the training.
        loss: the supervised loss of an output and its target.
        optimizer: of all students.
        grad_scaler: nnU-Net's, on a GPU.
        autocast: nnU-Net's choice of precision.
    """

    def __init__(
        self,
        students: Students,
        method: Method[Any, Any],
        loss: Callable[[Target, Target], Tensor],
        optimizer: torch.optim.Optimizer,
        grad_scaler: torch.GradScaler | None,
        autocast: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        self.students = students
        self.method = method
        self.loss = loss
        self.optimizer = optimizer
        self.grad_scaler = grad_scaler
        self.autocast = autocast

    def __call__(
        self, data: Tensor, target: Target, views: Tensor, weights: Mapping[str, float], progress: float
    ) -> StepResult:
        """Do the step.

        Args:
            data: (B, C, *patch), the labeled batch.
            target: its target, a list with deep supervision.
            views: (B', 2C, *patch), the weak and the strong view of an unlabeled batch.
            weights: of the unsupervised terms at this point of the training.
            progress: share of the training that is done, in [0, 1].
        """
        self.optimizer.zero_grad(set_to_none=True)
        unlabeled = self._pass_unlabeled(LabeledBatch(data, full_resolution(target)), views, weights, progress)
        supervised_loss, labeled = self._pass_labeled(data, target, weights, progress)
        self._update_weights()
        parts = (unlabeled.terms, labeled.terms)
        zero = torch.zeros_like(supervised_loss)
        terms = {name: sum((part[name] for part in parts if name in part), start=zero) for name in self.method.terms}
        return StepResult(supervised_loss, terms, {**unlabeled.statistics, **labeled.statistics})

    def supervise_further_students(self, data: Tensor, target: Target) -> None:
        """A step on the labeled batch of all students but the first, whose lack of gradients the optimizer skips."""
        _, *others = self.students
        for student in others:
            self.optimizer.zero_grad(set_to_none=True)
            with self.autocast():
                loss = self.loss(student.running(data), target)
            self._backward(loss, student)
            self._update_weights()

    # A function for each pass of a student, and losses that are detached, so that nothing of one is held in the next.

    def _pass_unlabeled(
        self, labeled: LabeledBatch, views: Tensor, weights: Mapping[str, float], progress: float
    ) -> Losses:
        """Forward and backward of all students on the unlabeled batch; returns the first one's losses."""
        weak, strong = views.chunk(2, dim=1)
        with self.autocast():
            guidances = self.students.guide(weak)

        def learn(student: Student, guidance: Guidance) -> Losses:
            with self.autocast():
                task = self.method.task(strong, guidance, labeled)
                losses = self.method.unlabeled_losses(self._predict(student, task.patches, "unlabeled"), task, progress)
                loss = sum((weights[term] * value for term, value in losses.terms.items()), start=strong.new_zeros(()))
            self._backward(loss, student)
            return _detach(losses)

        first, *_ = [learn(student, guidance) for student, guidance in zip(self.students, guidances, strict=True)]
        return first

    def _pass_labeled(
        self, data: Tensor, target: Target, weights: Mapping[str, float], progress: float
    ) -> tuple[Tensor, Losses]:
        """Forward and backward of all students on the labeled batch; returns the first one's losses."""

        def learn(student: Student) -> tuple[Tensor, Losses]:
            with self.autocast():
                prediction = self._predict(student, data, "labeled")
                supervised_loss = self.loss(prediction.output, target)
                losses = self.method.labeled_losses(prediction, full_resolution(target), progress)
                loss = sum((weights[term] * value for term, value in losses.terms.items()), start=supervised_loss)
            self._backward(loss, student)
            return supervised_loss.detach(), _detach(losses)

        first, *_ = [learn(student) for student in self.students]
        return first

    def _predict(self, student: Student, patches: Tensor, batch: Batch) -> Prediction:
        if batch not in self.method.compares_students_on:
            return student(patches)
        others = self.students.ask_others(student, patches)
        return replace(student(patches), others=others)

    def _backward(self, loss: Tensor, student: Student) -> None:
        """Gradients of one student's loss."""
        (loss if self.grad_scaler is None else self.grad_scaler.scale(loss)).backward()

    def _update_weights(self) -> None:
        if self.grad_scaler is not None:
            self.grad_scaler.unscale_(self.optimizer)
        for module in self.students.modules:
            torch.nn.utils.clip_grad_norm_(module.parameters(), _MAX_GRADIENT_NORM)
        if self.grad_scaler is not None:
            self.grad_scaler.step(self.optimizer)
            self.grad_scaler.update()
        else:
            self.optimizer.step()


def _detach(losses: Losses) -> Losses:
    return Losses(
        {term: value.detach() for term, value in losses.terms.items()},
        {name: value.detach() if isinstance(value, Tensor) else value for name, value in losses.statistics.items()},
    )
