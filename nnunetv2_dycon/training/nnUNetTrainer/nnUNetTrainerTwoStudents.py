"""Two students that learn from each other, as a base for co-training methods."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from nnunetv2_dycon.training.network.bottleneck import BottleneckReader
from nnunetv2_dycon.training.network.network_output import NetworkOutput
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerSemiSupervised import nnUNetTrainerSemiSupervised


class nnUNetTrainerTwoStudents(nnUNetTrainerSemiSupervised):
    """A second student beside nnU-Net's network; each is the other's teacher on unlabeled scans.

    The second student has the same plans and an initialisation of its own, and is trained from the first step on: by
    the supervised loss on the same labeled batches, and by the method's terms, in which ``teacher`` is what the other
    student says of the weak view, without gradients. The first student is nnU-Net's ``self.network``; it or the
    exponential moving average of its weights is deployed, and what is logged is its own. Passes of the two follow each
    other, so that the activations of one are in memory at a time. While all unsupervised weights are 0, the first
    student's step is nnUNetTrainer's own.

    A method defines what :class:`nnUNetTrainerSemiSupervised` asks for; its losses are called once for each student.

    Attributes:
        second_student_acts: whether the losses are being computed for the second student.
    """

    def __init__(
        self,
        plans: dict,
        configuration: str,
        fold: int,
        dataset_json: dict,
        device: torch.device = torch.device("cuda"),  # noqa: B008 (nnU-Net reads this signature)
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.second_network: nn.Module | None = None  # -> initialize
        self.second_student_acts = False

    def build_auxiliary(self) -> nn.ModuleDict:
        """The second student, beside what the method needs."""
        auxiliary = super().build_auxiliary()
        auxiliary["second_student"] = self.build_network_architecture(
            self.plans_manager,
            self.configuration_manager,
            self.num_input_channels,
            self.label_manager.num_segmentation_heads,
            self.enable_deep_supervision,
        )
        return auxiliary

    @property
    def student_modules(self) -> nn.ModuleDict:
        """What is averaged: the first student's network alone, since nothing else is deployed."""
        return nn.ModuleDict({"network": self.student_network})

    def initialize(self) -> None:
        """See nnUNetTrainer.initialize."""
        super().initialize()
        network = self.auxiliary["second_student"]
        self.second_network = torch.compile(network) if self._do_i_compile() else network
        if self.reads_bottleneck:
            self.bottleneck_readers["second_student"] = BottleneckReader(network)

    @contextmanager
    def second_student(self) -> Iterator[None]:
        """In this block, passes are the second student's."""
        self.second_student_acts = True
        try:
            yield
        finally:
            self.second_student_acts = False

    def supervised_step(self, batch: dict) -> dict:
        """The step of nnUNetTrainer for the first student, then the same for the second. See nnUNetTrainer.train_step.

        Args:
            batch: from nnU-Net's loader.

        Returns:
            The first student's loss, under ``loss``.
        """
        result = super().supervised_step(batch)
        # The first student has no gradients in the second's step, so the optimizer leaves it alone.
        self.optimizer.zero_grad(set_to_none=True)
        data, target = self._to_device(batch)
        with self.second_student(), self.autocast_context():
            loss = self.loss(self._forward_student(data).output, target)
        self._backward(loss)
        self._update_weights()
        return result

    def _pass_unlabeled(self, data: Tensor, target: Tensor, weights: dict[str, float]) -> dict[str, Tensor]:
        """Forward and backward of both students on an unlabeled batch; returns the first one's losses."""
        weak, strong = self._next_views()
        with self.autocast_context():
            said_by_first = self._forward_without_gradients(weak)
            with self.second_student():
                said_by_second = self._forward_without_gradients(weak)
        losses = self._learn_from(said_by_second, strong, data, target, weights)
        with self.second_student():
            self._learn_from(said_by_first, strong, data, target, weights)
        return losses

    def _pass_labeled(
        self, data: Tensor, target: Tensor | list[Tensor], weights: dict[str, float]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Forward and backward of both students on the labeled batch; returns the first one's losses."""
        losses = super()._pass_labeled(data, target, weights)
        with self.second_student():
            super()._pass_labeled(data, target, weights)
        return losses

    def _forward_student(self, data: Tensor) -> NetworkOutput:
        if not self.second_student_acts:
            return super()._forward_student(data)
        output = self.second_network(data)
        reader = self.bottleneck_readers["second_student"] if self.reads_bottleneck else None
        return NetworkOutput(output, None if reader is None else reader.take())

    def _forward_without_gradients(self, data: Tensor) -> NetworkOutput:
        with torch.no_grad():
            student = self._forward_student(data)
        return NetworkOutput(student.logits, student.bottleneck)
