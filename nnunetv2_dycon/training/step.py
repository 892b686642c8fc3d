"""One training step of all students on a labeled and an unlabeled batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from nnunetv2_dycon.methods.check_method import check_losses
from nnunetv2_dycon.methods.method import Batch, Guidance, LabeledBatch, Losses, Method, Prediction, full_resolution
from nnunetv2_dycon.training.distributed import average_gradients
from nnunetv2_dycon.training.students import Student, Students
from nnunetv2_dycon.views.locations import foreground_and_entropy, foreground_by_block

_MAX_GRADIENT_NORM = 12  # nnUNetTrainer.train_step

Target = Tensor | list[Tensor]


class Trainer(Protocol):
    """What a step needs of nnU-Net's trainer."""

    loss: Callable[[Any, Any], Tensor]
    optimizer: torch.optim.Optimizer
    grad_scaler: torch.GradScaler | None

    def autocast_context(self) -> AbstractContextManager[Any]:
        """nnU-Net's choice of precision."""


class StepResult(NamedTuple):
    """What a step yields, of the first student; all tensors are detached.

    Attributes:
        supervised_loss: a scalar.
        terms: the value of each unsupervised term, summed over both batches, not weighted.
        statistics: what the method's losses carry.
        foreground: (B', F, *blocks), what the first student's teacher sees in the weak view of the unlabeled batch; see
            foreground_by_block.
        weak_view_foreground: (B',), the fraction of foreground that it sees in each patch.
        weak_view_entropy: a scalar, its mean entropy in nats.
    """

    supervised_loss: Tensor
    terms: dict[str, Tensor]
    statistics: dict[str, Tensor | float]
    foreground: Tensor
    weak_view_foreground: Tensor
    weak_view_entropy: Tensor

    def read_losses(self) -> dict[str, np.ndarray]:
        """All losses on the CPU, ``supervised`` first, then the terms. Waits for the GPU once."""
        losses = torch.stack([self.supervised_loss.float(), *(value.float() for value in self.terms.values())]).cpu()
        supervised = losses[0].to(self.supervised_loss.dtype).numpy()
        return {"supervised": supervised, **dict(zip(self.terms, losses[1:].numpy(), strict=True))}


class TwoStreamStep:
    """The step, in which both batches are passed forward and backward in turn.

    That sums their gradients with the memory of one. Where several processes share the batches, gradients are averaged
    over them once, in the second pass. Follows nnUNetTrainer.train_step of 2.8.1 in everything else.

    Args:
        trainer: whose supervised loss, optimizer, scaler of gradients and precision are used; a subclass may replace
            them at any time.
        students: the networks.
        method: of the training.
    """

    def __init__(self, trainer: Trainer, students: Students, method: Method[Any, Any]) -> None:
        self.trainer = trainer
        self.students = students
        self.method = method

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
        self.trainer.optimizer.zero_grad(set_to_none=True)
        unlabeled, seen = self._pass_unlabeled(LabeledBatch(data, full_resolution(target)), views, weights, progress)
        supervised_loss, labeled = self._pass_labeled(data, target, weights, progress)
        self._update_weights()
        parts = (unlabeled.terms, labeled.terms)
        zero = torch.zeros_like(supervised_loss)
        terms = {name: sum((part[name] for part in parts if name in part), start=zero) for name in self.method.terms}
        return StepResult(supervised_loss, terms, {**unlabeled.statistics, **labeled.statistics}, *seen)

    def supervise_further_students(self, data: Tensor, target: Target) -> None:
        """A step on the labeled batch of all students but the first, whose lack of gradients the optimizer skips."""
        _, *others = self.students
        for student in others:
            self.trainer.optimizer.zero_grad(set_to_none=True)
            with self.trainer.autocast_context():
                loss = self.trainer.loss(student.running(data), target)
            self._backward(loss, student)
            self._update_weights()

    # A function for each pass of a student, and losses that are detached, so that nothing of one is held in the next.

    def _pass_unlabeled(
        self, labeled: LabeledBatch, views: Tensor, weights: Mapping[str, float], progress: float
    ) -> tuple[Losses, tuple[Tensor, Tensor, Tensor]]:
        """Forward and backward of all students on the unlabeled batch.

        Returns:
            The first one's losses, and what its teacher sees: the last three of :class:`StepResult`.
        """
        # torch.compile would keep graphs of their own for views into a larger tensor.
        weak, strong = (view.contiguous() for view in views.chunk(2, dim=1))
        with self.trainer.autocast_context():
            guidances = self.students.guide(weak)
        logits, labels = guidances[0].teacher.logits, self.method.labels
        seen = (foreground_by_block(logits, labels), *foreground_and_entropy(logits, labels))

        def learn(student: Student, guidance: Guidance) -> Losses:
            with self.trainer.autocast_context():
                task = self.method.task(strong, guidance, labeled)
                losses = self.method.unlabeled_losses(self._predict(student, task.patches, "unlabeled"), task, progress)
                check_losses(losses, self.method, "unlabeled_losses")
                loss = sum((weights[term] * value for term, value in losses.terms.items()), start=strong.new_zeros(()))
            if losses.terms:
                self._backward(loss, student)
            return _detach(losses)

        results = []
        for student, guidance in zip(self.students, guidances, strict=True):
            with student.without_synchronisation():
                results.append(learn(student, guidance))
        first, *_ = results
        return first, seen

    def _pass_labeled(
        self, data: Tensor, target: Target, weights: Mapping[str, float], progress: float
    ) -> tuple[Tensor, Losses]:
        """Forward and backward of all students on the labeled batch; returns the first one's losses."""

        def learn(student: Student) -> tuple[Tensor, Losses]:
            with self.trainer.autocast_context():
                prediction = self._predict(student, data, "labeled")
                supervised_loss = self.trainer.loss(prediction.output, target)
                losses = self.method.labeled_losses(prediction, full_resolution(target), progress)
                check_losses(losses, self.method, "labeled_losses")
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
        scaler = self.trainer.grad_scaler
        (loss if scaler is None else scaler.scale(loss)).backward()

    def _update_weights(self) -> None:
        optimizer, scaler = self.trainer.optimizer, self.trainer.grad_scaler
        average_gradients(self.students.heads)
        if scaler is not None:
            scaler.unscale_(optimizer)
        for module in self.students.modules:
            torch.nn.utils.clip_grad_norm_(module.parameters(), _MAX_GRADIENT_NORM)
        if scaler is not None:
            scaler.step(optimizer)
            scaler.update()
        else:
            optimizer.step()


def _detach(losses: Losses) -> Losses:
    return Losses(
        {term: value.detach() for term, value in losses.terms.items()},
        {name: value.detach() if isinstance(value, Tensor) else value for name, value in losses.statistics.items()},
    )
