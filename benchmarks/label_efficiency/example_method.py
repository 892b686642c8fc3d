"""Example of a method of one's own: entropy minimisation (Grandvalet and Bengio, 2004), as an arm of the benchmark.

``python -m benchmarks.label_efficiency run --method benchmarks/label_efficiency/example_method.py ...``
"""

from __future__ import annotations

from torch import Tensor

from nnunetv2_dycon.training.network.network_output import NetworkOutput
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerSemiSupervised import nnUNetTrainerSemiSupervised


class nnUNetTrainerEntropyMinimisation(nnUNetTrainerSemiSupervised):
    """The student is to be certain on unlabeled patches."""

    terms = ("entropy",)

    def term_weights(self) -> dict[str, float]:
        """See nnUNetTrainerSemiSupervised."""
        return {"entropy": 0.1}

    def unlabeled_losses(self, student: NetworkOutput, teacher: NetworkOutput) -> dict[str, Tensor]:
        """The mean entropy of the student's probabilities in nats. See nnUNetTrainerSemiSupervised."""
        log_probabilities = student.logits.float().log_softmax(1)
        return {"entropy": -(log_probabilities.exp() * log_probabilities).sum(1).mean()}
