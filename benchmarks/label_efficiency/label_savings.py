"""How many labels plain nnU-Net needs for the Dice that an arm has."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class LabelSavings:
    """Labels that the reference needs for a score.

    Attributes:
        labels: their number; the end of the curve where the score is beyond it.
        factor: ``labels`` by the number that the arm had.
        bound: ``more than`` where the reference does not reach the score with all labels, ``at most`` where it has it
            with the fewest labels that were tried; empty where ``labels`` was interpolated.
    """

    labels: float
    factor: float
    bound: Literal["", "more than", "at most"]

    def describe(self) -> str:
        """For tables."""
        sign = {"": "", "more than": "> ", "at most": "<= "}[self.bound]
        return f"{sign}{self.labels:.3g} ({sign}{self.factor:.2g}x)"


def label_savings(score: float, labels: int, curve: Mapping[int, float]) -> LabelSavings:
    """Read the labels that a score takes from the reference's curve.

    The curve is interpolated linearly over the logarithm of the number of labels. Where it is not monotonic the
    fewest labels that reach the score count, which favours the reference.

    Args:
        score: mean Dice of an arm.
        labels: the number of labels that it had.
        curve: mean Dice of the reference by number of labels, one entry at least.

    Returns:
        The number of labels, and what multiple of the arm's it is.
    """
    points = sorted(curve.items())
    fewest, lowest = points[0]
    if score <= lowest:
        return LabelSavings(fewest, fewest / labels, "" if score == lowest else "at most")
    for (n1, y1), (n2, y2) in itertools.pairwise(points):
        if score <= y2:
            share = (score - y1) / (y2 - y1)
            needed = math.exp(math.log(n1) + share * (math.log(n2) - math.log(n1)))
            return LabelSavings(needed, needed / labels, "")
    most = points[-1][0]
    return LabelSavings(most, most / labels, "more than")


def gap_closed(score: float, reference: float, reference_with_all: float) -> float | None:
    """The share of what all labels would bring that an arm brings.

    Args:
        score: mean Dice of the arm.
        reference: of plain nnU-Net with as many labels.
        reference_with_all: of plain nnU-Net with all labels.

    Returns:
        0 for no gain, 1 for as good as all labels; None where all labels bring nothing.
    """
    gap = reference_with_all - reference
    return (score - reference) / gap if gap > 0 else None
