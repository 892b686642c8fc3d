"""What the channels of a network mean: classes that exclude each other, or regions that may overlap."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from nnunetv2_dycon.losses.numerics import without_autocast

# A probability of 1 in float32, and no more than float16 holds.
CERTAIN_LOGIT = 20.0


class LabelSpace(ABC):
    """What the C channels of a network mean; either :class:`Classes` or :class:`Regions`.

    All methods take logits or probabilities (B, C, *spatial), 2D or 3D, and never wait for the device.
    """

    # Whether each channel has a distribution of its own (sigmoid), instead of all together one (softmax).
    overlapping: ClassVar[bool]

    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax over the classes, or the sigmoid of each region, in the type of the logits."""
        return logits.sigmoid() if self.overlapping else logits.softmax(1)

    def entropy(self, logits: Tensor) -> Tensor:
        """Shannon entropy of each voxel, that of several regions summed; in float32, also under autocast.

        Returns:
            (B, *spatial), nats, in [0, ln C], or for regions [0, C ln 2].
        """
        with without_autocast(logits):
            if self.overlapping:
                return bernoulli_entropy(logits.float()).sum(1)
            log_probabilities = logits.float().log_softmax(1)
            return -(log_probabilities.exp() * log_probabilities).sum(1)

    def predictive_entropy(self, probabilities: Tensor) -> Tensor:
        """Entropy of a mean prediction, the uncertainty of Yu et al., MICCAI 2019 (arXiv:1907.07034).

        Args:
            probabilities: float32, mean over several passes.

        Returns:
            Nats: (B, 1, *spatial), or for regions (B, C, *spatial), since each has a Bernoulli distribution of its own.
        """
        if self.overlapping:
            return -(torch.xlogy(probabilities, probabilities) + torch.xlogy(1 - probabilities, 1 - probabilities))
        return -torch.xlogy(probabilities, probabilities).sum(1, keepdim=True)

    def largest_entropy(self, num_channels: int) -> float:
        """Upper bound in nats of one value of :meth:`predictive_entropy`: ln C, or for regions ln 2."""
        return math.log(2 if self.overlapping else num_channels)

    def num_distributions(self, num_channels: int) -> int:
        """How many independent distributions a voxel has: 1, or for regions one per channel."""
        return num_channels if self.overlapping else 1

    def harden(self, logits: Tensor) -> Tensor:
        """Hard pseudo-labels: the most probable class of each voxel, or the regions it lies in.

        Returns:
            (B, 1, *spatial) int16 classes, the lowest where several are equally probable; for regions (B, C, *spatial)
            booleans, true above a probability of 0.5.
        """
        if self.overlapping:
            return logits > 0
        # Not argmax, which takes five to ten times as long on a CPU.
        best = logits[:, :1]
        classes = torch.zeros(best.shape, dtype=torch.int16, device=logits.device)
        for index in range(1, logits.shape[1]):
            logit = logits[:, index : index + 1]
            classes.masked_fill_(logit > best, index)
            best = torch.maximum(best, logit)
        return classes

    def confidence(self, probabilities: Tensor) -> Tensor:
        """The probability of what :meth:`harden` chooses, (B, 1, *spatial); of several regions the least."""
        if self.overlapping:
            return torch.maximum(probabilities, 1 - probabilities).amin(1, keepdim=True)
        return probabilities.amax(1, keepdim=True)

    def is_foreground(self, probabilities: Tensor) -> Tensor:
        """Whether a class is more probable than background, or any region more than 0.5: (B, 1, *spatial) booleans."""
        if self.overlapping:
            return (probabilities > 0.5).any(1, keepdim=True)
        return probabilities[:, 1:].amax(1, keepdim=True) > probabilities[:, :1]

    @abstractmethod
    def split_target(self, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """Take a target of nnU-Net's loader apart into what is known and what is to be ignored.

        Args:
            target: (B, 1, *spatial) classes; or (B, R, *spatial) regions, to which nnU-Net appends the ignore label as
                a last channel.

        Returns:
            The classes, the ignore label still among them, or the regions alone; and (B, 1, *spatial) booleans, true
            where the target has the ignore label, or None for data without one.
        """

    def reference_logits(self, target: Tensor, num_channels: int) -> tuple[Tensor, Tensor | None]:
        """Logits of a network that is certain of a reference segmentation.

        Args:
            target: as for :meth:`split_target`. Negative classes are background.
            num_channels: C, the number of channels of the network.

        Returns:
            (B, C, *spatial) float32, ``CERTAIN_LOGIT`` where the reference has the class or region, else its negative,
            as in background where it has the ignore label; and where that is, as from :meth:`split_target`.
        """
        target, ignored = self.split_target(target)
        if self.overlapping:
            present = target > 0
        else:
            if ignored is not None:
                target = torch.where(ignored, 0, target)
            classes = torch.arange(num_channels, device=target.device).view(1, -1, *[1] * (target.ndim - 2))
            present = target.clamp_min(0) == classes
        return torch.where(present, CERTAIN_LOGIT, -CERTAIN_LOGIT), ignored


@dataclass(frozen=True)
class Classes(LabelSpace):
    """Channels are classes that exclude each other, channel 0 is background: softmax.

    Args:
        ignore_label: value of voxels without annotation in targets; None if there are none.
    """

    overlapping: ClassVar[bool] = False
    ignore_label: int | None = None

    def split_target(self, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """See :class:`LabelSpace`."""
        return target, None if self.ignore_label is None else target == self.ignore_label


@dataclass(frozen=True)
class Regions(LabelSpace):
    """Channels are regions that may overlap, without background: sigmoid (nnU-Net's region-based training).

    Args:
        has_ignore_label: whether the last channel of targets says which voxels have no annotation.
    """

    overlapping: ClassVar[bool] = True
    has_ignore_label: bool = False

    def split_target(self, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """See :class:`LabelSpace`."""
        return (target[:, :-1], target[:, -1:] > 0) if self.has_ignore_label else (target, None)


def check_labels(labels: object) -> None:
    """Raise a TypeError for what says nothing of channels, such as a class in place of what it makes."""
    if not isinstance(labels, LabelSpace):
        kind = f"the class {labels.__name__}" if isinstance(labels, type) else repr(labels)
        raise TypeError(f"labels must be Classes() or Regions(), not {kind}")


def bernoulli_entropy(logits: Tensor) -> Tensor:
    """Entropy in nats of a Bernoulli distribution for each logit; nothing cancels for large logits."""
    size = logits.abs()
    return functional.softplus(-size) + size * size.neg().sigmoid()
