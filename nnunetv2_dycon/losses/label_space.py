"""What the channels of a network mean: classes that exclude each other, or regions that may overlap."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from nnunetv2_dycon.losses.numerics import without_autocast

# A probability of 1 in float32, and no more than float16 holds.
CERTAIN_LOGIT = 20.0


class SplitTarget(NamedTuple):
    """A target, and where it says nothing.

    Attributes:
        target: (B, 1, *spatial) classes, the ignore label still among them, or (B, R, *spatial) regions.
        ignored: (B, 1, *spatial) booleans, true where the target has the ignore label; None for data without one.
    """

    target: Tensor
    ignored: Tensor | None


class ReferenceLogits(NamedTuple):
    """Logits of a network that is certain of the reference segmentation.

    Attributes:
        logits: (B, C, *spatial), float32: ``CERTAIN_LOGIT`` where the reference has the class or region, else its
            negative.
        ignored: (B, 1, *spatial) booleans, true where the reference has the ignore label, whose logits are those of
            background; None for data without one.
    """

    logits: Tensor
    ignored: Tensor | None


class LabelSpace(ABC):
    """What the C channels of a network mean; either :class:`Classes` or :class:`Regions`.

    All methods work in 2D and 3D and never wait for the device.

    Attributes:
        num_background_channels: how many channels there are before those of the foreground.
    """

    num_background_channels: ClassVar[int]

    @abstractmethod
    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax over the classes, or the sigmoid of each region.

        Args:
            logits: (B, C, *spatial), of the floating point type to compute in.

        Returns:
            As `logits`, in [0, 1].
        """

    @abstractmethod
    def entropy(self, logits: Tensor) -> Tensor:
        """Shannon entropy of each voxel, that of several regions summed.

        Args:
            logits: (B, C, *spatial), any floating point type; computed in float32, also under autocast.

        Returns:
            (B, *spatial), nats, in [0, ln C], or for regions [0, C ln 2].
        """

    @abstractmethod
    def predictive_entropy(self, probabilities: Tensor) -> Tensor:
        """Entropy of a mean prediction, the uncertainty of Yu et al., MICCAI 2019 (arXiv:1907.07034).

        Args:
            probabilities: (B, C, *spatial) float32, mean over several passes.

        Returns:
            Nats: (B, 1, *spatial), or for regions (B, C, *spatial), since each has a Bernoulli distribution of its own.
        """

    @abstractmethod
    def num_distributions(self, num_channels: int) -> int:
        """How many independent distributions a voxel has: 1, or for regions one per channel."""

    @abstractmethod
    def largest_entropy(self, num_channels: int) -> float:
        """Upper bound in nats of one value of :meth:`predictive_entropy`: ln C, or for regions ln 2."""

    @abstractmethod
    def harden(self, logits: Tensor) -> Tensor:
        """Hard pseudo-labels: the most probable class of each voxel, or the regions it lies in.

        Args:
            logits: (B, C, *spatial), any floating point type.

        Returns:
            (B, 1, *spatial) int16 classes, the lowest where several are equally probable; for regions (B, C, *spatial)
            booleans, true above a probability of 0.5.
        """

    @abstractmethod
    def is_foreground(self, probabilities: Tensor) -> Tensor:
        """Whether a class is more probable than background, or any region more than 0.5.

        Args:
            probabilities: (B, C, *spatial).

        Returns:
            (B, 1, *spatial), booleans.
        """

    @abstractmethod
    def split_target(self, target: Tensor) -> SplitTarget:
        """Take a target of nnU-Net's loader apart into what is known and what is to be ignored.

        Args:
            target: (B, 1, *spatial) classes; or (B, R, *spatial) regions, to which nnU-Net appends the ignore label as
                a last channel.
        """

    @abstractmethod
    def reference_logits(self, target: Tensor, num_channels: int) -> ReferenceLogits:
        """Write a reference segmentation as logits.

        Args:
            target: as for :meth:`split_target`. Negative classes are background.
            num_channels: C, the number of channels of the network.
        """


@dataclass(frozen=True)
class Classes(LabelSpace):
    """Channels are classes that exclude each other, channel 0 is background: softmax.

    Args:
        ignore_label: value of voxels without annotation in targets; None if there are none.
    """

    num_background_channels: ClassVar[int] = 1
    ignore_label: int | None = None

    def probabilities(self, logits: Tensor) -> Tensor:
        """See :class:`LabelSpace`."""
        return logits.softmax(1)

    def entropy(self, logits: Tensor) -> Tensor:
        """See :class:`LabelSpace`."""
        with without_autocast(logits):
            log_probabilities = logits.float().log_softmax(1)
            return -(log_probabilities.exp() * log_probabilities).sum(1)

    def predictive_entropy(self, probabilities: Tensor) -> Tensor:
        """See :class:`LabelSpace`."""
        return -torch.xlogy(probabilities, probabilities).sum(1, keepdim=True)

    def num_distributions(self, num_channels: int) -> int:
        """See :class:`LabelSpace`."""
        return 1

    def largest_entropy(self, num_channels: int) -> float:
        """See :class:`LabelSpace`."""
        return math.log(num_channels)

    def harden(self, logits: Tensor) -> Tensor:
        """See :class:`LabelSpace`."""
        # Not argmax, which takes five to ten times as long on a CPU.
        best = logits[:, :1]
        classes = torch.zeros(best.shape, dtype=torch.int16, device=logits.device)
        for index in range(1, logits.shape[1]):
            logit = logits[:, index : index + 1]
            classes.masked_fill_(logit > best, index)
            best = torch.maximum(best, logit)
        return classes

    def is_foreground(self, probabilities: Tensor) -> Tensor:
        """See :class:`LabelSpace`."""
        return probabilities[:, 1:].amax(1, keepdim=True) > probabilities[:, :1]

    def split_target(self, target: Tensor) -> SplitTarget:
        """See :class:`LabelSpace`."""
        return SplitTarget(target, None if self.ignore_label is None else target == self.ignore_label)

    def reference_logits(self, target: Tensor, num_channels: int) -> ReferenceLogits:
        """See :class:`LabelSpace`."""
        target, ignored = self.split_target(target)
        if ignored is not None:
            target = torch.where(ignored, 0, target)
        classes = torch.arange(num_channels, device=target.device).view(1, -1, *[1] * (target.ndim - 2))
        return ReferenceLogits(_certain_logits(target.clamp_min(0) == classes), ignored)


@dataclass(frozen=True)
class Regions(LabelSpace):
    """Channels are regions that may overlap, without background: sigmoid (nnU-Net's region-based training).

    Args:
        has_ignore_label: whether the last channel of targets says which voxels have no annotation.
    """

    num_background_channels: ClassVar[int] = 0
    has_ignore_label: bool = False

    def probabilities(self, logits: Tensor) -> Tensor:
        """See :class:`LabelSpace`."""
        return logits.sigmoid()

    def entropy(self, logits: Tensor) -> Tensor:
        """See :class:`LabelSpace`."""
        with without_autocast(logits):
            return bernoulli_entropy(logits.float()).sum(1)

    def predictive_entropy(self, probabilities: Tensor) -> Tensor:
        """See :class:`LabelSpace`."""
        return -(torch.xlogy(probabilities, probabilities) + torch.xlogy(1 - probabilities, 1 - probabilities))

    def num_distributions(self, num_channels: int) -> int:
        """See :class:`LabelSpace`."""
        return num_channels

    def largest_entropy(self, num_channels: int) -> float:
        """See :class:`LabelSpace`."""
        return math.log(2)

    def harden(self, logits: Tensor) -> Tensor:
        """See :class:`LabelSpace`."""
        return logits > 0

    def is_foreground(self, probabilities: Tensor) -> Tensor:
        """See :class:`LabelSpace`."""
        return (probabilities > 0.5).any(1, keepdim=True)

    def split_target(self, target: Tensor) -> SplitTarget:
        """See :class:`LabelSpace`."""
        return SplitTarget(target[:, :-1], target[:, -1:] > 0) if self.has_ignore_label else SplitTarget(target, None)

    def reference_logits(self, target: Tensor, num_channels: int) -> ReferenceLogits:
        """See :class:`LabelSpace`."""
        target, ignored = self.split_target(target)
        return ReferenceLogits(_certain_logits(target > 0), ignored)


def bernoulli_entropy(logits: Tensor) -> Tensor:
    """Entropy in nats of a Bernoulli distribution for each logit; nothing cancels for large logits."""
    size = logits.abs()
    return functional.softplus(-size) + size * size.neg().sigmoid()


def _certain_logits(is_true: Tensor) -> Tensor:
    return torch.where(is_true, CERTAIN_LOGIT, -CERTAIN_LOGIT)
