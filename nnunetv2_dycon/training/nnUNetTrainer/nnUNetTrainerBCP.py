"""Bidirectional copy-paste inside nnU-Net."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from nnunetv2_dycon.losses.pseudo_labels import largest_components
from nnunetv2_dycon.losses.segmentation import dice_and_cross_entropy
from nnunetv2_dycon.training.bcp_settings import BCPSettings
from nnunetv2_dycon.training.data_augmentation.copy_paste import exchange_boxes
from nnunetv2_dycon.training.network.network_output import NetworkOutput
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerSemiSupervised import nnUNetTrainerSemiSupervised


class nnUNetTrainerBCP(nnUNetTrainerSemiSupervised):
    """Bidirectional copy-paste (Bai et al., CVPR 2023, arXiv:2305.00673) on nnU-Net.

    The student sees unlabeled patches with a box of a labeled one in one half of the batch, and labeled patches with a
    box of an unlabeled one in the other half. Its target is the ground truth where it sees the labeled scan, and the
    teacher's hard pseudo-label elsewhere. Settings: :class:`BCPSettings`, section ``"bcp"``.
    """

    settings_section = "bcp"
    settings_class = BCPSettings
    terms = ("bcp",)
    statistics_panels: ClassVar = {
        "loss on mixed patches": ("labeled_region_loss", "unlabeled_region_loss"),
        "pseudo-label foreground fraction": ("pseudo_foreground_fraction",),
    }

    def term_weights(self) -> dict[str, float]:
        """See nnUNetTrainerSemiSupervised."""
        return {"bcp": self.settings.bcp_weight}

    def student_view(
        self, strong: Tensor, teacher: NetworkOutput, data: Tensor, target: Tensor
    ) -> tuple[Tensor, NetworkOutput]:
        """Mix the unlabeled patches with labeled ones. See nnUNetTrainerSemiSupervised.

        Args:
            strong: (B, C, *patch).
            teacher: of the weak view of the same crops.
            data: (B', C, *patch), the labeled batch.
            target: (B', 1, *patch) or (B', regions, *patch), its target.

        Returns:
            The mixed patches, and as ``output`` their target in the form that nnU-Net's loader gives it, ignored voxels
            included; ``labeled`` is true where a patch shows the labeled scan.
        """
        mixed = exchange_boxes(strong, data, self.settings.box_fraction)
        pseudo_target = self._pseudo_target(teacher.logits, target)
        mixed_target = torch.where(mixed.labeled, target[mixed.partners], pseudo_target)
        return mixed.patches, NetworkOutput(mixed_target, None, mixed.labeled)

    def unlabeled_losses(self, student: NetworkOutput, teacher: NetworkOutput) -> dict[str, Tensor]:
        """Dice and cross-entropy where mixed patches show the labeled scan, and where they show the unlabeled one.

        Args:
            student: of the mixed patches.
            teacher: from :meth:`student_view`.

        Returns:
            The loss under ``bcp``.
        """
        target, ignored = self.label_space.split_target(teacher.output)
        labeled = teacher.labeled
        known = labeled if ignored is None else labeled & ~ignored
        in_labeled, in_unlabeled = dice_and_cross_entropy(
            student.logits,
            target,
            [known, ~labeled],
            labels=self.label_space,
            batch_dice=self.configuration_manager.batch_dice,
        )
        self.statistics.add("labeled_region_loss", in_labeled)
        self.statistics.add("unlabeled_region_loss", in_unlabeled)
        return {"bcp": in_labeled + self.settings.unlabeled_region_weight * in_unlabeled}

    def _pseudo_target(self, logits: Tensor, target: Tensor) -> Tensor:
        """The teacher's pseudo-labels in the form and type of the labeled batch's target."""
        pseudo_labels = self.label_space.harden(logits)
        if self.settings.largest_component:
            pseudo_labels = largest_components(pseudo_labels)
        self.statistics.add("pseudo_foreground_fraction", (pseudo_labels != 0).any(1).float().mean())
        # nnU-Net appends the ignore label as a last region.
        missing = target.shape[1] - pseudo_labels.shape[1]
        return functional.pad(pseudo_labels, [0, 0] * (target.ndim - 2) + [0, missing]).to(target.dtype)
