"""Bidirectional copy-paste (Bai et al., CVPR 2023, arXiv:2305.00673)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from nnunetv2_dycon.losses.pseudo_labels import largest_components
from nnunetv2_dycon.losses.segmentation import dice_and_cross_entropy
from nnunetv2_dycon.methods.method import Guidance, LabeledBatch, Losses, Method, Prediction, Task
from nnunetv2_dycon.methods.settings import LARGEST_WEIGHT, MethodSettings, setting
from nnunetv2_dycon.views.copy_paste import exchange_boxes


@dataclass(frozen=True)
class BCPSettings(MethodSettings):
    """Weights, box and pseudo-labels of bidirectional copy-paste (arXiv:2305.00673, with departures as documented)."""

    bcp_weight: float = setting(
        1.0, "weight of the loss on mixed patches after the ramp-up", minimum=0, maximum=LARGEST_WEIGHT
    )
    unlabeled_region_weight: float = setting(
        0.5,
        "factor on that loss where a mixed patch shows the unlabeled scan; alpha in the paper",
        minimum=0,
        maximum=LARGEST_WEIGHT,
    )
    box_fraction: float = setting(
        0.667,
        "length of the box along each axis as a fraction of the patch's; 2/3 in the paper",
        minimum=0.01,
        maximum=1,
    )
    largest_component: bool = setting(
        False,
        "whether pseudo-labels keep the largest connected component of each class alone, as in the paper; it is "
        "computed on the CPU and slows each step down",
    )


@dataclass(frozen=True)
class MixedTask(Task):
    """Mixed patches and their target.

    Attributes:
        target: in the form that nnU-Net's loader gives it, ignored voxels included: the ground truth where the patch
            shows a labeled scan, the teacher's hard pseudo-label elsewhere.
        labeled: (B, 1, *patch) booleans, true where a patch shows a labeled scan.
        pseudo_foreground_fraction: of the pseudo-labels, a scalar in [0, 1].
    """

    target: Tensor
    labeled: Tensor
    pseudo_foreground_fraction: Tensor


class BCP(Method[BCPSettings, MixedTask]):
    """Bidirectional copy-paste.

    The student sees unlabeled patches with a box of a labeled one in one half of the batch, and labeled patches with a
    box of an unlabeled one in the other half. Its target is the ground truth where it sees the labeled scan, and the
    teacher's hard pseudo-label elsewhere.
    """

    settings_section = "bcp"
    settings_class = BCPSettings
    terms = ("bcp",)
    panels: ClassVar = {
        "loss on mixed patches": ("labeled_region_loss", "unlabeled_region_loss"),
        "pseudo-label foreground fraction": ("pseudo_foreground_fraction",),
    }

    def term_weights(self) -> dict[str, float]:
        """See Method."""
        return {"bcp": self.settings.bcp_weight}

    def task(self, strong: Tensor, guidance: Guidance, labeled: LabeledBatch) -> MixedTask:
        """Mix the unlabeled patches with labeled ones. See Method."""
        mixed = exchange_boxes(strong, labeled.data, self.settings.box_fraction)
        pseudo_labels = self.labels.harden(guidance.teacher.logits)
        if self.settings.largest_component:
            pseudo_labels = largest_components(pseudo_labels)
        foreground_fraction = (pseudo_labels != 0).any(1).float().mean()
        # nnU-Net appends the ignore label as a last region.
        missing = labeled.target.shape[1] - pseudo_labels.shape[1]
        padding = [0, 0] * (strong.ndim - 2) + [0, missing]
        pseudo_target = functional.pad(pseudo_labels, padding).to(labeled.target.dtype)
        target = torch.where(mixed.from_partner, labeled.target[mixed.partners], pseudo_target)
        return MixedTask(mixed.patches, guidance.teacher, target, mixed.from_partner, foreground_fraction)

    def unlabeled_losses(self, student: Prediction, task: MixedTask, progress: float) -> Losses:
        """Dice and cross-entropy where mixed patches show the labeled scan, and where they show the unlabeled one."""
        target, ignored = self.labels.split_target(task.target)
        known = task.labeled if ignored is None else task.labeled & ~ignored
        in_labeled, in_unlabeled = dice_and_cross_entropy(
            student.logits,
            target,
            [known, ~task.labeled],
            labels=self.labels,
            batch_dice=self.batch_dice,
            reduction=self.reduction,
        )
        return Losses(
            {"bcp": in_labeled + self.settings.unlabeled_region_weight * in_unlabeled},
            {
                "labeled_region_loss": in_labeled,
                "unlabeled_region_loss": in_unlabeled,
                "pseudo_foreground_fraction": task.pseudo_foreground_fraction,
            },
        )
