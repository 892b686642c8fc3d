"""Uncertainty-aware mean teacher (Yu et al., MICCAI 2019, arXiv:1907.07034)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from nnunetv2_dycon.losses.segmentation import softmax_mse
from nnunetv2_dycon.methods.method import Losses, Method, Prediction, Task
from nnunetv2_dycon.methods.schedules import sigmoid_rampup
from nnunetv2_dycon.methods.settings import LARGEST_WEIGHT, MethodSettings, setting

# Of the paper and its released code.
_NOISE, _LARGEST_NOISE = 0.1, 0.2
_THRESHOLD_RATIOS = (0.75, 1.0)


@dataclass(frozen=True)
class UAMTSettings(MethodSettings):
    """The weight of the consistency loss and the teacher's stochastic passes (arXiv:1907.07034, as documented)."""

    consistency_weight: float = setting(
        10.0,
        "weight of the mean squared error on certain voxels after the ramp-up; 0.1 in the paper",
        minimum=0,
        maximum=LARGEST_WEIGHT,
    )
    stochastic_passes: int = setting(
        4,
        "how many passes of the teacher on noisy input the uncertainty is estimated from; 8 in the paper",
        minimum=1,
        maximum=1000,
    )


class UAMT(Method[UAMTSettings, Task]):
    """Uncertainty-aware mean teacher: as the mean teacher, but on voxels of which the teacher is certain.

    It is certain where the entropy of its mean prediction over several passes is below a threshold that rises over the
    training. nnU-Net's networks have no dropout, so these passes differ by noise on the input alone.
    """

    settings_section = "uamt"
    settings_class = UAMTSettings
    terms = ("consistency",)
    panels: ClassVar = {
        "certain fraction": ("certain_fraction",),
        "uncertainty threshold [nats]": ("uncertainty_threshold",),
    }

    def term_weights(self) -> dict[str, float]:
        """See Method."""
        return {"consistency": self.settings.consistency_weight}

    def uncertainty_threshold(self, num_channels: int, progress: float) -> float:
        """The entropy in nats below which a voxel counts.

        Args:
            num_channels: of the network's output.
            progress: share of the training that is done, in [0, 1].
        """
        return sigmoid_rampup(progress, *_THRESHOLD_RATIOS) * self.labels.largest_entropy(num_channels)

    def ask_teacher(self, teacher: Callable[[Tensor], Prediction], weak: Tensor) -> Prediction:
        """The teacher's prediction with its uncertainty. See Method."""
        passes = self.settings.stochastic_passes
        total = torch.zeros((), device=weak.device)
        # In turn, so that memory is that of one pass.
        for _ in range(passes):
            noise = (_NOISE * torch.randn_like(weak)).clamp_(-_LARGEST_NOISE, _LARGEST_NOISE)
            total = total + self.labels.probabilities(teacher(weak + noise).logits.float())
        return replace(teacher(weak), uncertainty=self.labels.predictive_entropy(total / passes))

    def unlabeled_losses(self, student: Prediction, task: Task, progress: float) -> Losses:
        """The consistency loss on certain voxels. See Method."""
        threshold = self.uncertainty_threshold(student.logits.shape[1], progress)
        assert task.teacher.uncertainty is not None
        certain = task.teacher.uncertainty < threshold
        consistency = softmax_mse(
            student.logits, task.teacher.logits, labels=self.labels, mask=certain, reduction=self.reduction
        )
        statistics: dict[str, Tensor | float] = {
            "uncertainty_threshold": threshold,
            "certain_fraction": certain.float().mean(),
        }
        return Losses({"consistency": consistency}, statistics)
