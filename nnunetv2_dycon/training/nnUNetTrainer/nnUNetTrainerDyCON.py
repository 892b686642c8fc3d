"""DyCON inside nnU-Net: UnCL and FeCL on a mean teacher."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from nnunetv2_dycon.losses.cell_labels import (
    CellLabels,
    cell_labels_from_probabilities,
    cell_labels_from_target,
    mean_over_cells,
)
from nnunetv2_dycon.losses.fecl import fecl_loss
from nnunetv2_dycon.losses.uncl import uncl_terms
from nnunetv2_dycon.training.data_augmentation.copy_paste import paste_boxes
from nnunetv2_dycon.training.dycon_settings import DyCONSettings
from nnunetv2_dycon.training.network.bottleneck import bottleneck_channels
from nnunetv2_dycon.training.network.network_output import NetworkOutput
from nnunetv2_dycon.training.network.projection_head import ProjectionHead
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerSemiSupervised import nnUNetTrainerSemiSupervised
from nnunetv2_dycon.training.schedules import adaptive_beta, sigmoid_rampup

# The released code's ramp of the threshold above which a teacher's negative is hard.
_HARD_NEGATIVE_THRESHOLDS = (0.3, 0.5)


class nnUNetTrainerDyCON(nnUNetTrainerSemiSupervised):
    """DyCON (CVPR 2025, arXiv:2504.04566) on nnU-Net.

    UnCL draws student and teacher together on unlabeled patches, less where either is uncertain. FeCL contrasts the
    cells of the bottleneck: labeled cells take their class from the segmentation, unlabeled ones from the teacher, with
    its confidence. No label of an unlabeled case is read. Settings: :class:`DyCONSettings`, section ``"dycon"``.
    """

    settings_section = "dycon"
    settings_class = DyCONSettings
    terms = ("uncl", "fecl")
    statistics_panels: ClassVar = {
        "entropy [nats]": ("student_entropy", "teacher_entropy"),
        "beta": ("beta",),
        "pseudo-label foreground fraction": ("pseudo_foreground_fraction",),
    }

    def term_weights(self) -> dict[str, float]:
        """See nnUNetTrainerSemiSupervised."""
        return {"uncl": self.settings.uncl_weight, "fecl": self.settings.fecl_weight}

    @property
    def reads_bottleneck(self) -> bool:
        """FeCL does."""
        return self.settings.fecl_weight > 0

    @property
    def beta(self) -> float:
        """UnCL's beta at this point of the training."""
        return adaptive_beta(self.progress, self.settings.beta_max, self.settings.beta_min)

    def build_auxiliary(self) -> nn.ModuleDict:
        """FeCL's projection head."""
        if not self.reads_bottleneck:
            return nn.ModuleDict()
        total_stride = np.prod(self.configuration_manager.pool_op_kernel_sizes, axis=0)
        channels = bottleneck_channels(self.student_network)
        head = ProjectionHead(channels, self.settings.fecl_embedding_channels, total_stride.tolist())
        return nn.ModuleDict({"projection_head": head})

    def embed_student(self, bottleneck: Tensor) -> Tensor:
        """FeCL's embeddings of the student's bottleneck features; (B, C, *cells) to (B, D, *cells of the embedding)."""
        return self.auxiliary["projection_head"](bottleneck)

    def embed_teacher(self, bottleneck: Tensor) -> Tensor:
        """FeCL's embeddings of the teacher's bottleneck features; see :meth:`embed_student`."""
        return self.teacher.module["auxiliary"]["projection_head"](bottleneck)

    def student_view(
        self, strong: Tensor, teacher: NetworkOutput, data: Tensor, target: Tensor
    ) -> tuple[Tensor, NetworkOutput]:
        """Paste a box of a labeled patch into each unlabeled one; there, its labels take the place of the teacher's.

        One of the two directions of bidirectional copy-paste (Bai et al., CVPR 2023, arXiv:2305.00673): in the other
        one little of the unlabeled patch is seen. See nnUNetTrainerSemiSupervised.
        """
        fraction = self.settings.copy_paste_fraction
        if fraction == 0:
            return strong, teacher
        mixed = paste_boxes(strong, data, fraction)
        reference = self.label_space.reference_logits(target[mixed.partners], teacher.logits.shape[1])
        logits = torch.where(mixed.labeled, reference.logits.to(teacher.logits.dtype), teacher.logits)
        ignored = None if reference.ignored is None else mixed.labeled & reference.ignored
        return mixed.patches, NetworkOutput(logits, teacher.bottleneck, mixed.labeled, ignored)

    def unlabeled_losses(self, student: NetworkOutput, teacher: NetworkOutput) -> dict[str, Tensor]:
        """UnCL and FeCL's unlabeled half. See nnUNetTrainerSemiSupervised."""
        beta = self.beta
        uncl = uncl_terms(
            student.logits,
            teacher.logits,
            beta,
            labels=self.label_space,
            mask=None if teacher.ignored is None else ~teacher.ignored,
            normalization=self.settings.uncl_normalization,
        )
        probabilities = self.label_space.probabilities(teacher.logits.float())
        self.statistics.add("beta", beta)
        self.statistics.add("student_entropy", uncl.student_entropy)
        self.statistics.add("teacher_entropy", uncl.teacher_entropy)
        self.statistics.add("pseudo_foreground_fraction", self.label_space.is_foreground(probabilities).float().mean())
        losses = {"uncl": uncl.distance + self.settings.uncl_entropy_weight * beta * uncl.entropy}
        if self.reads_bottleneck:
            embeddings = self.embed_student(student.bottleneck)
            with torch.no_grad():
                teacher_embeddings = self.embed_teacher(teacher.bottleneck)
            cells = embeddings.shape[2:]
            # The teacher saw the unlabeled patch alone.
            teacher_mask = None if teacher.labeled is None else mean_over_cells(teacher.labeled, cells) == 0
            cell_labels = cell_labels_from_probabilities(probabilities, cells, self.label_space, teacher.ignored)
            losses["fecl"] = 0.5 * self._fecl(
                embeddings, cell_labels, student.logits, _as_list_of_cells(teacher_embeddings), teacher_mask
            )
        return losses

    def labeled_losses(self, student: NetworkOutput, target: Tensor) -> dict[str, Tensor]:
        """FeCL's labeled half; without hard negatives, since the teacher sees unlabeled scans only."""
        if not self.reads_bottleneck:
            return {}
        embeddings = self.embed_student(student.bottleneck)
        cell_labels = cell_labels_from_target(
            target, embeddings.shape[2:], self.label_space, self.label_manager.num_segmentation_heads
        )
        return {"fecl": 0.5 * self._fecl(embeddings, cell_labels, student.logits)}

    def _fecl(
        self,
        embeddings: Tensor,
        cell_labels: CellLabels,
        logits: Tensor,
        teacher_embeddings: Tensor | None = None,
        teacher_mask: Tensor | None = None,
    ) -> Tensor:
        settings = self.settings
        entropy = None
        # The released training passes none.
        if settings.fecl_entropy_weighting and settings.fecl_variant == "paper":
            entropy = mean_over_cells(self.label_space.entropy(logits.detach()), embeddings.shape[2:])
            # Its exponential is a weight: a sum over many regions would make it huge.
            entropy = entropy / self.label_space.num_distributions(logits.shape[1])
        return fecl_loss(
            _as_list_of_cells(embeddings),
            cell_labels.labels,
            teacher_embeddings=teacher_embeddings,
            teacher_mask=teacher_mask,
            entropy=entropy,
            weights=cell_labels.weights,
            variant=settings.fecl_variant,
            temperature=settings.fecl_temperature,
            gamma=settings.fecl_gamma,
            focal_positives=settings.fecl_focal_positives,
            focal_negatives=settings.fecl_focal_negatives,
            hard_negatives=settings.fecl_hard_negatives,
            num_hard_negatives=settings.fecl_num_hard_negatives,
            hard_negative_threshold=sigmoid_rampup(self.progress, *_HARD_NEGATIVE_THRESHOLDS),
        )


def _as_list_of_cells(embeddings: Tensor) -> Tensor:
    """(B, D, *cells) -> (B, N, D)."""
    return embeddings.flatten(2).transpose(1, 2)
