"""How the settings of the losses change over the training progress."""

from __future__ import annotations

import math


def adaptive_beta(progress: float, beta_max: float, beta_min: float) -> float:
    """UnCL's beta: an exponential decay, ``beta_max * (beta_min / beta_max) ** progress``.

    Source: DyCON, paper (5 to 0.5) and released code.

    Args:
        progress: share of the training that is done; clipped to [0, 1].
        beta_max: value at the start, > 0.
        beta_min: value at the end, > 0.

    Returns:
        The beta of this moment.

    Raises:
        ValueError: if a beta is not positive.
    """
    if beta_max <= 0 or beta_min <= 0:
        raise ValueError(f"beta_max and beta_min must be positive, not {beta_max} and {beta_min}")
    return beta_max * (beta_min / beta_max) ** _clip(progress)


def sigmoid_rampup(progress: float, start: float, end: float) -> float:
    """The rise from `start` to `end` that the released code gives FeCL's hard-negative threshold (0.3 to 0.5).

    ``start + (end - start) * exp(-5 (1 - progress)^2)``: at progress 0 it is a little above `start`.

    Args:
        progress: share of the ramp that is done; clipped to [0, 1].
        start: value the ramp starts from.
        end: value at the end of the ramp.

    Returns:
        The value of this moment.
    """
    return start + (end - start) * math.exp(-5 * (1 - _clip(progress)) ** 2)


def gaussian_rampup(progress: float, length: float) -> float:
    """Weight of an unsupervised term that starts near 0 and is 1 after `length`: ``exp(-5 (1 - progress/length)^2)``.

    Source: Laine and Aila, Temporal Ensembling for Semi-Supervised Learning (2017).

    Args:
        progress: share of the training that is done, >= 0.
        length: share of the training that the ramp takes, >= 0; 0 means no ramp.

    Returns:
        The weight, in (0, 1].

    Raises:
        ValueError: if `length` is negative.
    """
    if length < 0:
        raise ValueError(f"length must not be negative, but is {length}")
    if length == 0:
        return 1.0
    return math.exp(-5 * (1 - _clip(progress / length)) ** 2)


def _clip(progress: float) -> float:
    return min(max(progress, 0.0), 1.0)
