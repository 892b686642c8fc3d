"""How uncertain predictions are: entropies of the members of an ensemble, and what they say of a structure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from nnunetv2_dycon.losses.label_space import LabelSpace


@dataclass(frozen=True)
class Uncertainty:
    """What the members of an ensemble predict together. X, Y, Z are the axes of the scan.

    Attributes:
        probabilities: (C, X, Y, Z) float32, the arithmetic mean over the members: of classes, which sum to 1, or of
            regions, which may overlap.
        entropy: (X, Y, Z) float32, nats, the entropy of these; see :func:`entropy_of`.
        mutual_information: (X, Y, Z) float32, nats, in [0, entropy]; None for a single member, for which it is 0.
    """

    probabilities: Tensor
    entropy: Tensor
    mutual_information: Tensor | None


def entropy_of(probabilities: Tensor, labels: LabelSpace) -> Tensor:
    """Shannon entropy of each voxel.

    Classes have one distribution a voxel. Regions have a Bernoulli distribution each, and their entropies are summed.
    That is the entropy of all regions together if these were independent, and an upper bound of it where they are not,
    as when one lies in another.

    Args:
        probabilities: (C, X, Y, Z) float32 in [0, 1].
        labels: whether the C channels are classes or regions.

    Returns:
        (X, Y, Z), nats, in [0, ln C], or for regions [0, C ln 2].
    """
    # A slice at a time, so that no second array of the size of the probabilities is made.
    slices = [labels.predictive_entropy(image[None])[0].sum(0) for image in probabilities.unbind(1)]
    return torch.stack(slices)


def largest_entropy(num_channels: int, labels: LabelSpace) -> float:
    """The upper bound in nats of :func:`entropy_of`: ln C, or for regions C ln 2."""
    return labels.largest_entropy(num_channels) * labels.num_distributions(num_channels)


class RunningSums:
    """Sums over the members of an ensemble, of which each is forgotten once it is added.

    The measures are those of Houlsby et al. 2011 (BALD, arXiv:1112.5745) and Gal et al. 2017 (arXiv:1703.02910), with
    folds and mirrored copies of the scan (Wang et al. 2019, arXiv:1807.07356) as members: the entropy of the mean
    prediction is all uncertainty, and its mutual information with the member is the part on which members disagree.

    Args:
        labels: whether channels are classes or regions.
    """

    def __init__(self, labels: LabelSpace) -> None:
        self._labels = labels
        self._probabilities: Tensor | None = None
        self._entropies: Tensor | None = None
        self._num_members = 0

    def add(self, probabilities: Tensor) -> None:
        """Add the prediction of a member, (C, X, Y, Z) float32 in [0, 1]."""
        entropy = entropy_of(probabilities, self._labels)
        if self._probabilities is None or self._entropies is None:
            self._probabilities, self._entropies = probabilities.clone(), entropy
        else:
            self._probabilities += probabilities
            self._entropies += entropy
        self._num_members += 1

    def result(self) -> Uncertainty:
        """Means and measures of what was added, at least one member. Nothing can be added afterwards.

        Mutual information is ``entropy(mean) - mean(entropies)``. Jensen's inequality has it at least 0; what rounding
        makes of that is cut off.
        """
        if self._probabilities is None or self._entropies is None:
            raise ValueError("there is no member")
        probabilities = self._probabilities.div_(self._num_members)
        entropy = entropy_of(probabilities, self._labels)
        mean_of_entropies, self._probabilities, self._entropies = self._entropies.div_(self._num_members), None, None
        information = (entropy - mean_of_entropies).clamp_min_(0) if self._num_members > 1 else None
        return Uncertainty(probabilities, entropy, information)


def mean_inside(values: Tensor, predicted: Tensor) -> float:
    """The mean of a map inside a predicted structure, both (X, Y, Z); NaN where nothing is predicted.

    Of the entropy, it is what Mehrtash et al. 2020 (arXiv:1911.13273) found to tell good segmentations from poor ones.
    """
    return values[predicted].double().mean().item() if predicted.any() else math.nan


def expected_dice(probabilities: Tensor, predicted: Tensor) -> float:
    """The Dice to expect of a predicted structure, ``2 sum(p y) / (sum(p) + sum(y))``, by its probabilities.

    It is Dice with the truth replaced by its expected value, the soft Dice confidence of Borges et al. 2024
    (arXiv:2402.10665). It assumes that probabilities are calibrated: of all voxels with p = 0.8, four in five belong to
    the structure. Networks are often too sure of themselves, also far from their training data, and it is too high
    then. It also takes the ratio of expected values for the expected ratio, which differ little for structures of many
    voxels.

    Args:
        probabilities: (X, Y, Z) of the structure, in [0, 1].
        predicted: (X, Y, Z) booleans, the segmentation.

    Returns:
        In [0, 1]; NaN where nothing is predicted, since the true Dice is undefined if nothing is there.
    """
    size = predicted.sum().item()
    if size == 0:
        return math.nan
    # Millions of float32 would lose digits.
    overlap = probabilities[predicted].sum(dtype=torch.float64).item()
    return 2 * overlap / (probabilities.sum(dtype=torch.float64).item() + size)
