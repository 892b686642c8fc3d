"""The base of all semi-supervised methods: the training step on two streams, and what is logged of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from nnunetv2_dycon.training.logging.epoch_statistics import EpochStatistics
from nnunetv2_dycon.training.logging.semi_supervised_logger import SemiSupervisedLogger
from nnunetv2_dycon.training.network.bottleneck import BottleneckReader
from nnunetv2_dycon.training.network.network_output import NetworkOutput, full_resolution
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerTeacher import nnUNetTrainerTeacher
from nnunetv2_dycon.training.schedules import gaussian_rampup

_MAX_GRADIENT_NORM = 12  # nnUNetTrainer.train_step


class nnUNetTrainerSemiSupervised(nnUNetTrainerTeacher):
    """nnUNetTrainer with an unlabeled stream and a mean teacher.

    A method is a subclass that names its terms and defines :meth:`term_weights`, :meth:`unlabeled_losses` and, where
    it has settings of its own, a settings class. Everything else is nnU-Net's: the labeled stream, its augmentation,
    the supervised loss, optimizer and schedule are untouched, and a step whose unsupervised weights are all 0 is
    nnUNetTrainer's own.

    Attributes:
        terms: the names of the unsupervised terms.
        statistics_panels: further values that the method adds to ``self.statistics``, by panel of progress.png.
    """

    terms: tuple[str, ...] = ()
    statistics_panels: Mapping[str, tuple[str, ...]] = {}

    def __init__(
        self,
        plans: dict,
        configuration: str,
        fold: int,
        dataset_json: dict,
        device: torch.device = torch.device("cuda"),  # noqa: B008 (nnU-Net reads this signature)
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.bottleneck_readers: dict[str, BottleneckReader] = {}  # -> initialize
        self.steps_in_epoch = 0
        panels = {
            "pseudo dice": ("student_pseudo_dice", "teacher_pseudo_dice"),
            "unsupervised loss": tuple(f"{term}_loss" for term in self.terms),
            "weight": ("ramp", *(f"{term}_weight" for term in self.terms)),
            "share of the loss": tuple(f"{term}_share" for term in self.terms),
            **self.statistics_panels,
        }
        self.logger.local_logger = SemiSupervisedLogger(panels, self.logger.local_logger.verbose)
        self.statistics = EpochStatistics(
            name for names in panels.values() for name in names if not name.endswith("_pseudo_dice")
        )

    # What a method defines

    def term_weights(self) -> dict[str, float]:
        """The weight of each of :attr:`terms` after the ramp-up."""
        raise NotImplementedError(f"{type(self).__name__} does not define term_weights")

    def unlabeled_losses(self, student: NetworkOutput, teacher: NetworkOutput) -> dict[str, Tensor]:
        """The terms on an unlabeled batch, not weighted.

        Args:
            student: of the strong view, with gradients.
            teacher: of the weak view of the same crops, without.

        Returns:
            A scalar for each of :attr:`terms` that has a value on unlabeled data.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define unlabeled_losses")

    def labeled_losses(self, student: NetworkOutput, target: Tensor) -> dict[str, Tensor]:
        """The terms on the labeled batch, beside the supervised loss; none unless a method has some.

        Args:
            student: of the labeled batch, with gradients.
            target: (B, 1, *patch) labels or (B, regions, *patch), as nnU-Net's loader gives it.

        Returns:
            A scalar for each of :attr:`terms` that has a value on labeled data.
        """
        return {}

    def student_view(
        self, strong: Tensor, teacher: NetworkOutput, data: Tensor, target: Tensor
    ) -> tuple[Tensor, NetworkOutput]:
        """What the student sees of an unlabeled batch, and what it is to say; a method that mixes crops overrides it.

        Args:
            strong: (B, C, *patch), the strong view.
            teacher: of the weak view of the same crops, without gradients.
            data: (B', C, *patch), the labeled batch of this step, B' being the batch size of the plans.
            target: (B', 1, *patch) labels or (B', regions, *patch), of the labeled batch.

        Returns:
            The student's input and the teacher's output for it.
        """
        return strong, teacher

    @property
    def reads_bottleneck(self) -> bool:
        """Whether the terms need the bottleneck features."""
        return False

    # Training

    @property
    def needs_unlabeled_data(self) -> bool:
        """Whether any term ever counts."""
        return any(weight > 0 for weight in self.term_weights().values())

    @property
    def progress(self) -> float:
        """How much of the training is done, in [0, 1]."""
        return (self.current_epoch + self.steps_in_epoch / self.num_iterations_per_epoch) / self.num_epochs

    @property
    def ramp(self) -> float:
        """Factor on the unsupervised weights: 0 in the warm-up, then rising to 1."""
        since_warmup = self.progress - self.settings.warmup_fraction
        return 0.0 if since_warmup < 0 else gaussian_rampup(since_warmup, self.settings.rampup_fraction)

    def initialize(self) -> None:
        """See nnUNetTrainer.initialize."""
        super().initialize()
        if self.reads_bottleneck:
            # After the teacher's copy was made, and before the first pass, which is when torch.compile reads hooks.
            self.bottleneck_readers = {
                "student": BottleneckReader(self.student_network),
                "teacher": BottleneckReader(self.teacher.module["network"]),
            }

    def on_train_epoch_start(self) -> None:
        """See nnUNetTrainer.on_train_epoch_start."""
        super().on_train_epoch_start()
        self.steps_in_epoch = 0

    def train_step(self, batch: dict) -> dict:
        """One step on a labeled and an unlabeled batch.

        The two are passed forward and backward in turn, which sums their gradients with the memory of one. Follows
        nnUNetTrainer.train_step of 2.8.1 where there are unsupervised weights, and calls it where there are none.

        Args:
            batch: from nnU-Net's loader.

        Returns:
            The supervised loss, under ``loss``.
        """
        ramp = self.ramp
        weights = {term: ramp * weight for term, weight in self.term_weights().items()}
        if any(weight > 0 for weight in weights.values()):
            loss = self._step_on_two_streams(batch, weights)
            self.teacher.update_parameters(self.student_modules)
            # Read last, since it waits for the GPU.
            result = {"loss": loss.cpu().numpy()}
        else:
            result = self.supervised_step(batch)
            self.teacher.update_parameters(self.student_modules)
        self.steps_in_epoch += 1
        self.statistics.add("ramp", ramp)
        for term, weight in weights.items():
            self.statistics.add(f"{term}_weight", weight)
        return result

    def supervised_step(self, batch: dict) -> dict:
        """The step while all unsupervised weights are 0: nnUNetTrainer.train_step.

        Args:
            batch: from nnU-Net's loader.

        Returns:
            The supervised loss, under ``loss``.
        """
        return super().train_step(batch)

    def _step_on_two_streams(self, batch: dict, weights: dict[str, float]) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        data, target = self._to_device(batch)
        unlabeled_losses = self._pass_unlabeled(data, full_resolution(target), weights)
        supervised_loss, labeled_losses = self._pass_labeled(data, target, weights)
        self._update_weights()
        self._add_statistics(supervised_loss, [unlabeled_losses, labeled_losses], weights)
        return supervised_loss

    def _to_device(self, batch: dict) -> tuple[Tensor, Tensor | list[Tensor]]:
        data = batch["data"].to(self.device, non_blocking=True)
        if isinstance(batch["target"], list):
            return data, [scale.to(self.device, non_blocking=True) for scale in batch["target"]]
        return data, batch["target"].to(self.device, non_blocking=True)

    # A function for each pass, and losses that are detached, so that nothing of the first is held during the second.

    def _pass_unlabeled(self, data: Tensor, target: Tensor, weights: dict[str, float]) -> dict[str, Tensor]:
        """Forward and backward on an unlabeled batch; returns its losses."""
        weak, strong = self._next_views()
        with self.autocast_context():
            teacher = self._forward_teacher(weak)
        return self._learn_from(teacher, strong, data, target, weights)

    def _next_views(self) -> tuple[Tensor, Tensor]:
        """The weak and the strong view of the next unlabeled batch, each (B, C, *patch)."""
        views = next(self.unlabeled_stream)["data"].to(self.device, non_blocking=True)
        return views.chunk(2, dim=1)

    def _learn_from(
        self, teacher: NetworkOutput, strong: Tensor, data: Tensor, target: Tensor, weights: dict[str, float]
    ) -> dict[str, Tensor]:
        """Forward and backward of the student on its view; returns its losses."""
        with self.autocast_context():
            view, teacher = self.student_view(strong, teacher, data, target)
            losses = self.unlabeled_losses(self._forward_student(view), teacher)
            loss = sum(weights[term] * value for term, value in losses.items())
        self._backward(loss)
        return _detach(losses)

    def _pass_labeled(
        self, data: Tensor, target: Tensor | list[Tensor], weights: dict[str, float]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Forward and backward on the labeled batch; returns the supervised loss and the others."""
        with self.autocast_context():
            student = self._forward_student(data)
            supervised_loss = self.loss(student.output, target)
            losses = self.labeled_losses(student, full_resolution(target))
            loss = sum((weights[term] * value for term, value in losses.items()), start=supervised_loss)
        self._backward(loss)
        return supervised_loss.detach(), _detach(losses)

    def autocast_context(self) -> AbstractContextManager:
        """nnU-Net's choice: autocast on CUDA only. See nnUNetTrainer.train_step."""
        return torch.autocast(self.device.type, enabled=True) if self.device.type == "cuda" else nullcontext()

    def _forward_student(self, data: Tensor) -> NetworkOutput:
        output = self.network(data)
        return NetworkOutput(output, self.bottleneck_readers["student"].take() if self.reads_bottleneck else None)

    def _forward_teacher(self, data: Tensor) -> NetworkOutput:
        with torch.inference_mode():
            output = full_resolution(self.teacher_network(data))
            bottleneck = self.bottleneck_readers["teacher"].take() if self.reads_bottleneck else None
        # Tensors made in inference mode cannot take part in a graph; clones can.
        return NetworkOutput(output.clone(), None if bottleneck is None else bottleneck.clone())

    def _backward(self, loss: Tensor) -> None:
        (loss if self.grad_scaler is None else self.grad_scaler.scale(loss)).backward()

    def _update_weights(self) -> None:
        if self.grad_scaler is not None:
            self.grad_scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), _MAX_GRADIENT_NORM)
        for module in self.auxiliary.values():
            torch.nn.utils.clip_grad_norm_(module.parameters(), _MAX_GRADIENT_NORM)
        if self.grad_scaler is not None:
            self.grad_scaler.step(self.optimizer)
            self.grad_scaler.update()
        else:
            self.optimizer.step()

    # Logging

    def _add_statistics(
        self, supervised_loss: Tensor, losses: Sequence[dict[str, Tensor]], weights: dict[str, float]
    ) -> None:
        values = {term: sum(part[term] for part in losses if term in part) for term in weights}
        weighted = {term: weights[term] * value for term, value in values.items()}
        # The least value of nnU-Net's Dice loss is -1; shares are of what is above the least.
        total = supervised_loss + 1 + sum(weighted.values())
        for term, value in values.items():
            self.statistics.add(f"{term}_loss", value)
            self.statistics.add(f"{term}_share", weighted[term] / total)

    def on_train_epoch_end(self, train_outputs: list[dict]) -> None:
        """See nnUNetTrainer.on_train_epoch_end."""
        super().on_train_epoch_end(train_outputs)
        for name, mean in self.statistics.pop_means().items():
            self.logger.log(name, mean, self.current_epoch)

    def on_epoch_end(self) -> None:
        """See nnUNetTrainer.on_epoch_end."""
        for title, names in self.logger.local_logger.panels.items():
            values = ", ".join(f"{name} {self.logger.get_value(name, step=-1):.4g}" for name in names)
            self.print_to_log_file(f"{title}: {values}")
        super().on_epoch_end()


def _detach(losses: dict[str, Tensor]) -> dict[str, Tensor]:
    return {term: value.detach() for term, value in losses.items()}
