"""CML: cross-view mutual learning (Wu et al., ACM Multimedia 2024; public code SongwuJob/CML)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_dycon.losses.pseudo_labels import largest_components
from nnunetv2_dycon.losses.segmentation import dice_and_cross_entropy
from nnunetv2_dycon.methods.method import Batch, Guidance, LabeledBatch, Losses, Method, Prediction, Task
from nnunetv2_dycon.methods.settings import LARGEST_WEIGHT, MethodSettings, setting
from nnunetv2_dycon.networks.interpolating_decoder import interpolate_in_decoder
from nnunetv2_dycon.views.copy_paste import paste_boxes_of_next


@dataclass(frozen=True)
class CMLSettings(MethodSettings):
    """Weights, box and pseudo-labels of cross-view mutual learning (with departures as documented)."""

    mutual_weight: float = setting(
        1.0,
        "weight of the loss on mixed unlabeled patches after the ramp-up; 1 in the released code, on ACDC 0.5",
        minimum=0,
        maximum=LARGEST_WEIGHT,
    )
    disagreement_weight: float = setting(
        0.4,
        "weight of the cosine of the two students' bottleneck features after the ramp-up; 0.2 in the released code "
        "for LA, whose supervised loss is half of nnU-Net's",
        minimum=0,
        maximum=LARGEST_WEIGHT,
    )
    box_fraction: float = setting(
        0.667,
        "length of the box along each axis as a fraction of the patch's; 2/3 in the released code for LA",
        minimum=0.01,
        maximum=1,
    )
    largest_component: bool = setting(
        True,
        "whether pseudo-labels keep the largest connected component of each class alone, as in the released code; it "
        "is computed on the CPU and slows each step down",
    )


@dataclass(frozen=True)
class CrossViewTask(Task):
    """Mixed unlabeled patches and their target.

    Attributes:
        target: (B, 1, *patch) or (B, regions, *patch) pseudo-labels: the other student's outside of the box, the
            student's own in it.
    """

    target: Tensor


class CML(Method[CMLSettings, CrossViewTask]):
    """Cross-view mutual learning: two students with different decoders that are kept apart and teach each other.

    Each sees unlabeled patches with a box of another unlabeled patch. It learns the other's hard pseudo-labels outside
    of the box and its own in it. A second term drives the bottleneck features of the two apart.
    """

    settings_section = "cml"
    settings_class = CMLSettings
    terms = ("mutual", "disagreement")
    panels: ClassVar = {"pseudo-label foreground fraction": ("pseudo_foreground_fraction",)}
    num_students = 2

    def term_weights(self) -> dict[str, float]:
        """See Method."""
        return {"mutual": self.settings.mutual_weight, "disagreement": self.settings.disagreement_weight}

    @property
    def reads_features(self) -> bool:
        """The disagreement does."""
        return self.settings.disagreement_weight > 0

    @property
    def compares_students_on(self) -> tuple[Batch, ...]:
        """The disagreement needs the other student's features of the same patches."""
        return ("labeled", "unlabeled") if self.reads_features else ()

    def prepare_further_student(self, network: nn.Module) -> None:
        """Interpolation and convolution in place of transposed convolutions. See Method."""
        interpolate_in_decoder(network)

    def task(self, strong: Tensor, guidance: Guidance, labeled: LabeledBatch) -> CrossViewTask:
        """Mix unlabeled patches with each other. See Method."""
        mixed = paste_boxes_of_next(strong, self.settings.box_fraction)
        assert guidance.own is not None
        others, own = self._pseudo_labels(guidance.teacher), self._pseudo_labels(guidance.own)
        target = torch.where(mixed.from_partner, own[mixed.partners], others)
        return CrossViewTask(mixed.patches, guidance.teacher, target)

    def _pseudo_labels(self, prediction: Prediction) -> Tensor:
        pseudo_labels = self.labels.harden(prediction.logits)
        return largest_components(pseudo_labels) if self.settings.largest_component else pseudo_labels

    def unlabeled_losses(self, student: Prediction, task: CrossViewTask, progress: float) -> Losses:
        """Dice and cross-entropy with the pseudo-labels, and the disagreement. See Method."""
        foreground = (task.target != 0).any(1, keepdim=True)
        (loss,) = dice_and_cross_entropy(
            student.logits,
            task.target,
            [torch.ones_like(foreground)],
            labels=self.labels,
            batch_dice=self.batch_dice,
            reduction=self.reduction,
        )
        return Losses(
            {"mutual": loss, **self._disagreement(student)},
            {"pseudo_foreground_fraction": foreground.float().mean()},
        )

    def labeled_losses(self, student: Prediction, target: Tensor, progress: float) -> Losses:
        """The disagreement. See Method."""
        return Losses(self._disagreement(student))

    def _disagreement(self, student: Prediction) -> dict[str, Tensor]:
        """``1 + mean cosine`` of the student's features and the other's, in [0, 2]."""
        own, others = student.features, student.others[0].features if student.others else None
        if own is None or others is None:
            return {}
        cosine = functional.cosine_similarity(own.float(), others.float(), dim=1)
        return {"disagreement": 1 + self.reduction.mean(cosine)}
