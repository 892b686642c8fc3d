"""In which order to annotate scans: pure functions of uncertainties and features."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.spatial.distance import cdist
from torch import Tensor
from tqdm import tqdm

from nnunetv2_dycon.uncertainty.measures import expected_dice
from nnunetv2_dycon.uncertainty.table import Structure

# Up to which the distances between all pairs are kept: 134 MB for so many.
_MOST_CANDIDATES_IN_MEMORY = 4096

Criterion = Literal["coverage", "diversity", "uncertainty", "both"]


@dataclass(frozen=True)
class Choice:
    """A scan in its place of the order.

    Attributes:
        index: of the scan among the candidates.
        score: by which it was chosen: at least that of all candidates that were left.
        distance: to the nearest scan that is labeled or was chosen before; NaN where none was looked at.
        nearest: that scan: an index of the labeled ones or, from their number on, of the candidates; -1 for none.
    """

    index: int
    score: float
    distance: float = math.nan
    nearest: int = -1


def scan_uncertainty(structures: Sequence[Structure], segmentation: Tensor, probabilities: Tensor) -> float:
    """How uncertain the prediction of a scan is: the mean over structures of ``1 - expected Dice``.

    A structure that is not predicted has no expected Dice. It counts with its highest probability in any voxel: near 0
    where the network is sure that it is not there.

    Args:
        structures: classes or regions, at least one.
        segmentation: (X, Y, Z) integers.
        probabilities: (C, X, Y, Z) in [0, 1].

    Returns:
        In [0, 1].
    """
    values = []
    for structure in structures:
        own = probabilities[structure.channel]
        dice = expected_dice(own, structure.mask(segmentation))
        values.append(own.max().item() if math.isnan(dice) else 1 - dice)
    return sum(values) / len(values)


def standardized(features: np.ndarray) -> np.ndarray:
    """Features of equal weight, for Euclidean distances that do not depend on their number.

    Each feature gets mean 0 and standard deviation 1 over the scans, and is divided by the root of the number of
    features. So the mean squared distance of two scans is 2. Features that are the same in all scans become 0.

    Args:
        features: (scans, features).

    Returns:
        float64 of the same shape.
    """
    features = np.asarray(features, dtype=np.float64)
    deviation = features.std(axis=0)
    # What differs by rounding alone would get the weight of the others.
    varies = deviation > 1e-6 * np.abs(features).max(axis=0)
    centred = features - features.mean(axis=0)
    scaled = np.divide(centred, deviation, out=np.zeros_like(centred), where=varies)
    return scaled / math.sqrt(max(1, int(varies.sum())))


def farthest_first(weights: np.ndarray, candidates: np.ndarray, labeled: np.ndarray) -> list[Choice]:
    """All candidates, each time the one whose weight times its distance is highest.

    The distance is that to the nearest scan which is labeled or was chosen before. With equal weights, that is greedy
    k-centre, the core-set choice of Sener and Savarese 2018 (arXiv:1708.00489). A copy of a labeled scan comes last. Of
    equals, the first comes first.

    Args:
        weights: (candidates,), at least 0.
        candidates: (candidates, features).
        labeled: (labeled, features), at least one.

    Raises:
        ValueError: without a labeled scan.
    """
    distance, nearest = _nearest_labeled(candidates, labeled)
    is_left = np.ones(len(candidates), dtype=bool)
    choices = []
    for _ in range(len(candidates)):
        scores = np.where(is_left, weights * distance, -np.inf)
        index = int(scores.argmax())
        choices.append(Choice(index, float(scores[index]), float(distance[index]), int(nearest[index])))
        is_left[index] = False
        to_chosen = cdist(candidates, candidates[index : index + 1])[:, 0]
        is_nearer = to_chosen < distance
        distance[is_nearer] = to_chosen[is_nearer]
        nearest[is_nearer] = len(labeled) + index
    return choices


def most_covering_first(candidates: np.ndarray, labeled: np.ndarray) -> list[Choice]:
    """All candidates, each time the one that brings the most others nearer to a labeled or chosen scan.

    The score is by how much it lowers the mean over candidates of the distance to the nearest scan that is labeled or
    chosen: facility location, or greedy k-medoids (Wei, Iyer and Bilmes 2015, Submodularity in data subset selection
    and active learning). Of equals, the first comes first.

    Args:
        candidates: (candidates, features).
        labeled: (labeled, features), at least one.

    Raises:
        ValueError: without a labeled scan.
    """
    distance, nearest = _nearest_labeled(candidates, labeled)
    between = cdist(candidates, candidates) if len(candidates) <= _MOST_CANDIDATES_IN_MEMORY else None

    def distances_to(index: int) -> np.ndarray:
        return cdist(candidates, candidates[index : index + 1])[:, 0] if between is None else between[:, index]

    def gain(index: int) -> float:
        return float(np.maximum(distance - distances_to(index), 0).mean())

    # A gain never rises: one that is up to date and at least what the others had before is the highest.
    is_quick = between is not None
    indices = tqdm(range(len(candidates)), desc="Comparing scans", unit="scan", disable=is_quick)
    heap = [(-gain(index), index) for index in indices]
    heapq.heapify(heap)
    choices: list[Choice] = []
    with tqdm(total=len(candidates), desc="Ordering scans", unit="scan", disable=is_quick) as progress:
        while heap:
            index = heap[0][1]
            latest = (-gain(index), index)
            heapq.heapreplace(heap, latest)
            if heap[0] != latest:
                continue
            heapq.heappop(heap)
            choices.append(Choice(index, -latest[0], float(distance[index]), int(nearest[index])))
            to_chosen = distances_to(index)
            is_nearer = to_chosen < distance
            distance[is_nearer], nearest[is_nearer] = to_chosen[is_nearer], len(labeled) + index
            progress.update()
    return choices


def _nearest_labeled(candidates: np.ndarray, labeled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance to and index of the labeled scan that is nearest to each candidate."""
    if len(labeled) == 0:
        raise ValueError("there is no labeled scan to be far from")
    to_labeled = cdist(candidates, labeled)
    return to_labeled.min(axis=1), to_labeled.argmin(axis=1)


def most_uncertain_first(uncertainties: np.ndarray) -> list[Choice]:
    """All candidates by their uncertainty (candidates,), the highest first; of equals, the first comes first."""
    order = np.argsort(-uncertainties, kind="stable").tolist()
    return [Choice(index, float(uncertainties[index])) for index in order]


def order_candidates(
    uncertainties: np.ndarray,
    features: np.ndarray | None,
    labeled_features: np.ndarray | None,
    criterion: Criterion,
) -> list[Choice]:
    """The order in which to annotate.

    Args:
        uncertainties: (candidates,), see :func:`scan_uncertainty`.
        features: (candidates, features), as the network gives them; needed unless uncertainty alone decides.
        labeled_features: (labeled, features) likewise.
        criterion: ``both``: farthest first, with distances weighted by uncertainty; ``diversity``: farthest first;
            ``coverage``: most covering first; ``uncertainty``: most uncertain first.

    Raises:
        ValueError: where features are needed and missing.
    """
    if criterion == "uncertainty":
        return most_uncertain_first(uncertainties)
    if features is None or labeled_features is None:
        raise ValueError(f"{criterion} needs features")
    labeled, candidates = _standardized_together(labeled_features, features)
    if criterion == "coverage":
        return most_covering_first(candidates, labeled)
    weights = uncertainties if criterion == "both" else np.ones(len(candidates))
    return farthest_first(weights, candidates, labeled)


def distances_to_labeled(features: np.ndarray, labeled_features: np.ndarray) -> np.ndarray:
    """The distance (candidates,) of each candidate to the nearest labeled scan; see :func:`order_candidates`."""
    labeled, candidates = _standardized_together(labeled_features, features)
    return cdist(candidates, labeled).min(axis=1)


def _standardized_together(labeled: np.ndarray, candidates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scaled = standardized(np.concatenate([labeled, candidates]))
    return scaled[: len(labeled)], scaled[len(labeled) :]


def mean_features(patches: Sequence[Tensor]) -> Tensor:
    """The mean over a scan of its patches' features, each (B, C, *spatial); returns (C,) float32."""
    return torch.stack([patch.float().flatten(2).mean(dim=(0, 2)) for patch in patches]).mean(dim=0)
