"""The uncertainty-aware mean teacher inside nnU-Net."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from nnunetv2_dycon.losses.segmentation import softmax_mse
from nnunetv2_dycon.training.network.network_output import NetworkOutput, full_resolution
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerSemiSupervised import nnUNetTrainerSemiSupervised
from nnunetv2_dycon.training.schedules import sigmoid_rampup
from nnunetv2_dycon.training.uamt_settings import UAMTSettings

# Of the paper and its released code.
_NOISE, _LARGEST_NOISE = 0.1, 0.2
_THRESHOLD_RATIOS = (0.75, 1.0)


class nnUNetTrainerUAMT(nnUNetTrainerSemiSupervised):
    """Uncertainty-aware mean teacher (Yu et al., MICCAI 2019, arXiv:1907.07034) on nnU-Net.

    As :class:`nnUNetTrainerMeanTeacher`, but on voxels of which the teacher is certain: the entropy of its mean
    prediction over several passes is below a threshold that rises over the training. nnU-Net's networks have no
    dropout, so these passes differ by noise on the input alone. Settings: :class:`UAMTSettings`, section ``"uamt"``.
    """

    settings_section = "uamt"
    settings_class = UAMTSettings
    terms = ("consistency",)
    statistics_panels: ClassVar = {
        "certain fraction": ("certain_fraction",),
        "uncertainty threshold [nats]": ("uncertainty_threshold",),
    }

    def __init__(
        self,
        plans: dict,
        configuration: str,
        fold: int,
        dataset_json: dict,
        device: torch.device = torch.device("cuda"),  # noqa: B008 (nnU-Net reads this signature)
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self._uncertainty: Tensor | None = None  # -> _forward_teacher

    def term_weights(self) -> dict[str, float]:
        """See nnUNetTrainerSemiSupervised."""
        return {"consistency": self.settings.consistency_weight}

    @property
    def uncertainty_threshold(self) -> float:
        """The entropy in nats below which a voxel counts, at this point of the training."""
        largest = self.label_space.largest_entropy(self.label_manager.num_segmentation_heads)
        return sigmoid_rampup(self.progress, *_THRESHOLD_RATIOS) * largest

    def unlabeled_losses(self, student: NetworkOutput, teacher: NetworkOutput) -> dict[str, Tensor]:
        """The consistency loss on certain voxels. See nnUNetTrainerSemiSupervised."""
        threshold = self.uncertainty_threshold
        certain = self._uncertainty < threshold
        self._uncertainty = None
        self.statistics.add("uncertainty_threshold", threshold)
        self.statistics.add("certain_fraction", certain.float().mean())
        return {"consistency": softmax_mse(student.logits, teacher.logits, labels=self.label_space, mask=certain)}

    def _forward_teacher(self, data: Tensor) -> NetworkOutput:
        self._uncertainty = self._estimate_uncertainty(data)
        return super()._forward_teacher(data)

    @torch.inference_mode()
    def _estimate_uncertainty(self, data: Tensor) -> Tensor:
        """Predictive entropy in nats over noisy inputs: (B, 1, *patch), or (B, regions, *patch)."""
        passes = self.settings.stochastic_passes
        total: Tensor | float = 0.0
        # In turn, so that memory is that of one pass.
        for _ in range(passes):
            noise = (_NOISE * torch.randn_like(data)).clamp_(-_LARGEST_NOISE, _LARGEST_NOISE)
            logits = full_resolution(self.teacher_network(data + noise)).float()
            total = total + self.label_space.probabilities(logits)
        return self.label_space.predictive_entropy(total / passes)
