"""What a semi-supervised method is: everything that it decides, and nothing of nnU-Net.

A method is one class in one file, with its settings. Trainer, networks and losses meet in
:mod:`nnunetv2_dycon.training`; ``documentation/extending.md`` walks through a method of one's own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Generic, Literal, NamedTuple, TypeVar

from torch import Tensor, nn

from nnunetv2_dycon.losses.label_space import LabelSpace
from nnunetv2_dycon.losses.reduction import WHOLE_BATCH, Reduction
from nnunetv2_dycon.methods.settings import MethodSettings

SettingsType = TypeVar("SettingsType", bound=MethodSettings)
TaskType = TypeVar("TaskType", bound="Task")
Batch = Literal["labeled", "unlabeled"]


def full_resolution(values: Tensor | Sequence[Tensor]) -> Tensor:
    """The first of the list that deep supervision makes of logits or targets; the tensor itself without."""
    return values if isinstance(values, Tensor) else values[0]


@dataclass(frozen=True)
class Prediction:
    """What a network says of patches.

    Attributes:
        output: what the network returns: logits, or with deep supervision a list of them, highest resolution first.
        features: (B, C, *spatial) of the bottleneck; None for a method that does not read them.
        embeddings: what the method's head makes of the features; None without a head.
        uncertainty: (B, 1, *patch) or (B, regions, *patch) in nats; None for a method that does not estimate it.
        others: what the other students say of the same patches, without gradients; empty unless the method compares
            them (:attr:`Method.compares_students_on`).
    """

    output: Tensor | list[Tensor]
    features: Tensor | None = None
    embeddings: Tensor | None = None
    uncertainty: Tensor | None = None
    others: tuple[Prediction, ...] = ()

    @property
    def logits(self) -> Tensor:
        """(B, C, *patch) logits at full resolution."""
        return full_resolution(self.output)


class LabeledBatch(NamedTuple):
    """The labeled batch of a step.

    Attributes:
        data: (B, C, *patch).
        target: (B, 1, *patch) labels, or (B, regions, *patch) with the ignore label as last region, as nnU-Net's loader
            gives it at full resolution.
    """

    data: Tensor
    target: Tensor


@dataclass(frozen=True)
class Guidance:
    """What a student can learn from on an unlabeled batch: predictions of the weak view, without gradients.

    Attributes:
        teachers: that of the moving average, or those of all other students.
        own: the student's own; None beside a moving average, which would cost a pass more.
    """

    teachers: tuple[Prediction, ...]
    own: Prediction | None = None

    @property
    def teacher(self) -> Prediction:
        """The first of the teachers."""
        return self.teachers[0]


@dataclass(frozen=True)
class Task:
    """What a student sees of an unlabeled batch, and what it is told. Methods that mix patches add fields.

    Attributes:
        patches: (B, C, *patch), what it sees.
        teacher: the prediction that it is to learn from.
    """

    patches: Tensor
    teacher: Prediction


@dataclass(frozen=True)
class Losses:
    """The unsupervised terms of a batch.

    Attributes:
        terms: a scalar for each of :attr:`Method.terms` that has a value on this batch, not weighted.
        statistics: further values to log, of :attr:`Method.panels`.
    """

    terms: Mapping[str, Tensor]
    statistics: Mapping[str, Tensor | float] = field(default_factory=dict)


class Method(ABC, Generic[SettingsType, TaskType]):
    """Base of all methods. nnU-Net finds the method ``NAME`` as ``nnUNetTrainerNAME``.

    Attributes:
        settings_section: the key of a configuration in the plans that holds the settings.
        settings_class: their dataclass.
        terms: the names of the unsupervised terms.
        panels: further values that the losses carry as statistics, by panel of progress.png.
        num_students: how many networks are trained, at most four. One learns from the moving average of its weights;
            several learn from each other. The moving average of the first is what is deployed.
        least_supervised_loss: the least value of the supervised loss; nnU-Net's Dice loss is -1 at best.
        reduction: for the losses: completes sums over a batch. On several GPUs, the trainer sets one that adds up over
            all of them.

    Args:
        settings: of the method.
        labels: what the channels of the network mean.
        batch_dice: nnU-Net's choice of one Dice over the batch, from the plans.
    """

    settings_section: ClassVar[str]
    settings_class: ClassVar[type[MethodSettings]]
    terms: ClassVar[tuple[str, ...]]
    panels: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    num_students: ClassVar[int] = 1
    least_supervised_loss: ClassVar[float] = -1.0
    reduction: Reduction = WHOLE_BATCH

    def __init__(self, settings: SettingsType, labels: LabelSpace, *, batch_dice: bool = False) -> None:
        self.settings = settings
        self.labels = labels
        self.batch_dice = batch_dice

    @abstractmethod
    def term_weights(self) -> dict[str, float]:
        """The weight of each of :attr:`terms` after the ramp-up."""

    def values_without_meaning(self) -> Collection[str]:
        """Names of :attr:`panels` whose values the settings give no meaning: they are logged and not shown."""
        return ()

    @abstractmethod
    def unlabeled_losses(self, student: Prediction, task: TaskType, progress: float) -> Losses:
        """The terms on an unlabeled batch.

        Args:
            student: of ``task.patches``, with gradients.
            task: from :meth:`task`.
            progress: share of the training that is done, in [0, 1].

        Returns:
            The losses.
        """

    def labeled_losses(self, student: Prediction, target: Tensor, progress: float) -> Losses:
        """The terms on the labeled batch, beside the supervised loss; none unless a method has some.

        Args:
            student: of the labeled batch, with gradients.
            target: see :class:`LabeledBatch`.
            progress: share of the training that is done, in [0, 1].

        Returns:
            The losses.
        """
        return Losses({})

    def task(self, strong: Tensor, guidance: Guidance, labeled: LabeledBatch) -> TaskType:
        """What a student sees of an unlabeled batch and is told; called once for each student.

        Args:
            strong: (B, C, *patch), the strong view.
            guidance: what there is to learn from, of the weak view of the same crops.
            labeled: the labeled batch of this step; its size is the plans', whatever B is.

        Returns:
            The strong view as it is, and the teacher's prediction; a method that mixes patches overrides it.
        """
        return Task(strong, guidance.teacher)  # type: ignore[return-value]  # methods with a task of their own override

    def ask_teacher(self, teacher: Callable[[Tensor], Prediction], weak: Tensor) -> Prediction:
        """Ask the moving average for its prediction of the weak view.

        Args:
            teacher: makes a prediction of patches, without gradients.
            weak: (B, C, *patch).

        Returns:
            Its prediction; a method that asks several times overrides it.
        """
        return teacher(weak)

    @property
    def reads_features(self) -> bool:
        """Whether the terms need the bottleneck's features. The network then needs an encoder with skips."""
        return False

    @property
    def compares_students_on(self) -> tuple[Batch, ...]:
        """The batches of which each student is shown what the others say (``Prediction.others``), a pass of each."""
        return ()

    def build_head(self, num_channels: int, total_stride: Sequence[int]) -> nn.Module | None:
        """What is trained on the bottleneck of each student, but not needed for prediction.

        Args:
            num_channels: of the bottleneck.
            total_stride: by how much the encoder pools each axis.

        Returns:
            A module from features to embeddings, for a method that reads features; None for none.
        """
        return None

    def prepare_further_student(self, network: nn.Module) -> None:
        """Change a student after the first, which is nnU-Net's own network, in place before it is trained.

        Args:
            network: of the plans, newly initialised.
        """

    def supervised_loss(self) -> nn.Module | None:
        """The loss of logits and target at each scale of deep supervision in place of nnU-Net's; None for nnU-Net's."""
        return None
