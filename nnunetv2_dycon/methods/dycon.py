"""DyCON: UnCL and FeCL (CVPR 2025, arXiv:2504.04566)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

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
from nnunetv2_dycon.losses.uncl_pseudo_labels import uncl_of_pseudo_labels
from nnunetv2_dycon.methods.dycon_settings import DyCONSettings
from nnunetv2_dycon.methods.method import Guidance, LabeledBatch, Losses, Method, Prediction, Task
from nnunetv2_dycon.methods.schedules import adaptive_beta, sigmoid_rampup
from nnunetv2_dycon.networks.projection_head import ProjectionHead
from nnunetv2_dycon.views.copy_paste import paste_boxes, paste_boxes_of_next

# The released code's ramp of the threshold above which a teacher's negative is hard.
_HARD_NEGATIVE_THRESHOLDS = (0.3, 0.5)
# Of an annotated voxel that stands for ignored ones: a few must not decide for a whole box.
_LARGEST_VOXEL_WEIGHT = 10.0


@dataclass(frozen=True)
class PastedTask(Task):
    """Unlabeled patches with boxes of others; what they show there takes the place of the teacher's logits.

    Attributes:
        moved: (B, 1, *patch) booleans, true in the box of another unlabeled patch; None: nowhere.
        labeled: (B, 1, *patch) booleans, true where a patch shows a labeled one; None: nowhere.
        ignored: (B, 1, *patch) booleans, true where that one has the ignore label; None: nowhere.
    """

    moved: Tensor | None = None
    labeled: Tensor | None = None
    ignored: Tensor | None = None


class DyCON(Method[DyCONSettings, PastedTask]):
    """DyCON: UnCL and FeCL on a mean teacher.

    UnCL teaches the student what the teacher sees on unlabeled patches, less where it is uncertain. FeCL contrasts the
    cells of the bottleneck: labeled cells take their class from the segmentation, unlabeled ones from the teacher, with
    its confidence. No label of an unlabeled case is read.
    """

    settings_section = "dycon"
    settings_class = DyCONSettings
    terms = ("uncl", "fecl")
    panels: ClassVar = {
        "entropy [nats]": ("student_entropy", "teacher_entropy"),
        "confident voxels": ("confident_fraction",),
        "beta": ("beta",),
        "pseudo-label foreground fraction": ("pseudo_foreground_fraction",),
    }

    def term_weights(self) -> dict[str, float]:
        """See Method."""
        return {"uncl": self.settings.uncl_weight, "fecl": self.settings.fecl_weight}

    @property
    def reads_features(self) -> bool:
        """FeCL does."""
        return self.settings.fecl_weight > 0

    def build_head(self, num_channels: int, total_stride: Sequence[int]) -> nn.Module:
        """FeCL's projection head. See Method."""
        return ProjectionHead(num_channels, self.settings.fecl_embedding_channels, total_stride)

    def beta(self, progress: float) -> float:
        """UnCL's beta after a share of the training."""
        return adaptive_beta(progress, self.settings.beta_max, self.settings.beta_min)

    def task(self, strong: Tensor, guidance: Guidance, labeled: LabeledBatch) -> PastedTask:
        """Paste boxes into the unlabeled patches; there, the student is told what these show.

        First boxes of other unlabeled patches (CutMix; Yang et al., UniMatch, CVPR 2023, arXiv:2208.09910), then of
        labeled ones, whose labels take the place of the teacher's. The latter is one of the two directions of
        bidirectional copy-paste (Bai et al., CVPR 2023, arXiv:2305.00673): in the other one little of the unlabeled
        patch is seen. See Method.
        """
        settings = self.settings
        patches, logits = strong, guidance.teacher.logits
        moved = shows_labeled = ignored = None
        if settings.cutmix_fraction > 0:
            patches, moved, partners = paste_boxes_of_next(patches, settings.cutmix_fraction, wraps=True)
            logits = torch.where(moved, logits[partners], logits)
        if settings.copy_paste_fraction > 0 and settings.copy_paste_share > 0:
            # A patch that is alone has no other one to get a box from.
            share = 1.0 if len(patches) == 1 and settings.cutmix_fraction > 0 else settings.copy_paste_share
            patches, shows_labeled, partners = paste_boxes(patches, labeled.data, settings.copy_paste_fraction, share)
            reference, ignored = self.labels.reference_logits(labeled.target[partners], logits.shape[1])
            logits = torch.where(shows_labeled, reference.to(logits.dtype), logits)
            ignored = None if ignored is None else shows_labeled & ignored
        return PastedTask(patches, replace(guidance.teacher, output=logits), moved, shows_labeled, ignored)

    def values_without_meaning(self) -> Collection[str]:
        """The share of voxels that count, where all do. See Method."""
        return () if self.settings.uncl_distance == "pseudo_labels" else ("confident_fraction",)

    def unlabeled_losses(self, student: Prediction, task: PastedTask, progress: float) -> Losses:
        """UnCL and FeCL's unlabeled half. See Method."""
        uncl, statistics = self._uncl(student.logits, task, self.beta(progress))
        probabilities = self.labels.probabilities(task.teacher.logits.float())
        terms = {"uncl": uncl}
        if student.embeddings is not None:
            cells = student.embeddings.shape[2:]
            cell_labels = self.unlabeled_cell_labels(probabilities, cells, task)
            terms["fecl"] = 0.5 * self._fecl(student.logits, student.embeddings, cell_labels, progress, task)
        statistics["pseudo_foreground_fraction"] = self.labels.is_foreground(probabilities).float().mean()
        return Losses(terms, statistics)

    def _uncl(self, student: Tensor, task: PastedTask, beta: float) -> tuple[Tensor, dict[str, Tensor | float]]:
        """UnCL of the student's logits, and its statistics."""
        teacher, settings = task.teacher.logits, self.settings
        options: dict[str, Any] = {
            "labels": self.labels,
            "mask": self.voxel_weights(task),
            "reduction": self.reduction,
        }
        if settings.uncl_distance == "pseudo_labels":
            confidence = settings.uncl_confidence
            loss, *values = uncl_of_pseudo_labels(student, teacher, beta, confidence=confidence, **options)
        else:
            distance, entropy, cross_entropy, *values = uncl_terms(
                student,
                teacher,
                beta,
                normalization=settings.uncl_normalization,
                with_cross_entropy=settings.uncl_cross_entropy_weight > 0,
                **options,
            )
            loss = distance + settings.uncl_entropy_weight * beta * entropy
            loss = loss + settings.uncl_cross_entropy_weight * cross_entropy
            values.append(torch.ones_like(loss.detach()))
        names = ("student_entropy", "teacher_entropy", "confident_fraction")
        return loss, {"beta": beta, **dict(zip(names, values, strict=True))}

    def voxel_weights(self, task: PastedTask) -> Tensor | None:
        """How much each voxel of a task counts in UnCL: (B, 1, *patch); None if all count alike.

        Ignored voxels of a box do not count. The annotated ones stand for them, so that what is known has as much of a
        say against what the teacher only believes as in a box that is annotated whole.
        """
        if task.ignored is None or task.labeled is None:
            return None
        if not self.settings.ignored_voxels_as_unlabeled:
            return ~task.ignored
        annotated = task.labeled & ~task.ignored
        factor = task.labeled.sum() / annotated.sum().clamp_min(1)
        return torch.where(annotated, factor.clamp_max(_LARGEST_VOXEL_WEIGHT), 1.0).masked_fill(task.ignored, 0)

    def unlabeled_cell_labels(self, probabilities: Tensor, cells: Sequence[int], task: PastedTask) -> CellLabels:
        """The class of each cell of the patches in a task, and how sure it is.

        Args:
            probabilities: (B, C, *patch), the teacher's, and the reference where the patches show labeled ones.
            cells: of the embeddings, along each axis.
            task: the task.
        """
        return cell_labels_from_probabilities(probabilities, cells, self.labels, task.ignored)

    def labeled_losses(self, student: Prediction, target: Tensor, progress: float) -> Losses:
        """FeCL's labeled half; without hard negatives, since the teacher sees unlabeled scans only. See Method."""
        if student.embeddings is None:
            return Losses({})
        cells, num_classes = student.embeddings.shape[2:], student.logits.shape[1]
        cell_labels = cell_labels_from_target(target, cells, self.labels, num_classes)
        return Losses({"fecl": 0.5 * self._fecl(student.logits, student.embeddings, cell_labels, progress)})

    def _fecl(
        self,
        logits: Tensor,
        embeddings: Tensor,
        cell_labels: CellLabels,
        progress: float,
        task: PastedTask | None = None,
    ) -> Tensor:
        """FeCL of the student's embeddings; the task is that of an unlabeled batch."""
        settings, cells = self.settings, embeddings.shape[2:]
        entropy = teacher_embeddings = teacher_mask = None
        # The released training passes no entropy.
        if settings.fecl_entropy_weighting and settings.fecl_variant == "paper":
            # Its exponential is a weight: a sum over many regions would make it huge.
            num_distributions = self.labels.num_distributions(logits.shape[1])
            entropy = mean_over_cells(self.labels.entropy(logits.detach()), cells) / num_distributions
        if task is not None and task.teacher.embeddings is not None:
            teacher_embeddings = _as_list_of_cells(task.teacher.embeddings)
            # The teacher saw the unlabeled patch without boxes.
            boxes = [mean_over_cells(box, cells) for box in (task.moved, task.labeled) if box is not None]
            teacher_mask = torch.stack(boxes).sum(0) == 0 if boxes else None
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
            hard_negative_threshold=sigmoid_rampup(progress, *_HARD_NEGATIVE_THRESHOLDS),
            reduction=self.reduction,
        )


def _as_list_of_cells(embeddings: Tensor) -> Tensor:
    """(B, D, *cells) -> (B, N, D)."""
    return embeddings.flatten(2).transpose(1, 2)
