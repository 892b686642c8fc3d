"""Example of a method of one's own: entropy minimisation (Grandvalet and Bengio, 2004), as an arm of the benchmark.

``python -m benchmarks.label_efficiency run --method benchmarks/label_efficiency/example_method.py ...``
"""

from __future__ import annotations

from dataclasses import dataclass

from nnunetv2_dycon.methods.method import Losses, Method, Prediction, Task
from nnunetv2_dycon.methods.settings import MethodSettings, setting
from nnunetv2_dycon.trainers import trainers_of


@dataclass(frozen=True)
class EntropyMinimisationSettings(MethodSettings):
    """The weight of the entropy."""

    entropy_weight: float = setting(0.1, "weight of the student's mean entropy after the ramp-up", minimum=0)


class EntropyMinimisation(Method[EntropyMinimisationSettings, Task]):
    """The student is to be certain on unlabeled patches."""

    settings_section = "entropy_minimisation"
    settings_class = EntropyMinimisationSettings
    terms = ("entropy",)

    def term_weights(self) -> dict[str, float]:
        """See Method."""
        return {"entropy": self.settings.entropy_weight}

    def unlabeled_losses(self, student: Prediction, task: Task, progress: float) -> Losses:
        """The mean entropy of the student's probabilities in nats. See Method."""
        return Losses({"entropy": self.labels.entropy(student.logits).mean()})


globals().update(trainers_of(EntropyMinimisation))
