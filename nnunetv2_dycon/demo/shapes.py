"""Shapes and fields that generated scans are drawn with."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import zoom


def as_vector(values: np.ndarray) -> np.ndarray:
    """Three values as an array of shape (3, 1, 1, 1), beside coordinates."""
    return values[:, None, None, None]


def random_direction(rng: np.random.Generator) -> np.ndarray:
    """A random unit vector."""
    values = rng.normal(size=3)
    return values / np.linalg.norm(values)


def smooth_field(rng: np.random.Generator, size: tuple[int, ...], knots: int) -> np.ndarray:
    """A smooth random field of unit standard deviation, interpolated from ``knots`` random values per axis."""
    coarse = rng.normal(size=(knots,) * 3)
    field = zoom(coarse, [n / knots for n in size], order=3, mode="nearest")
    return (field - field.mean()) / field.std()


def ellipsoid(coordinates: np.ndarray, centre: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Distance from the centre in units of the radii: below 1 is inside."""
    return np.sqrt((((coordinates - as_vector(centre)) / as_vector(radii)) ** 2).sum(0))


def vessel_mask(rng: np.random.Generator, coordinates: np.ndarray) -> np.ndarray:
    """Mask of thin straight tubes that cross the scan."""
    mask = np.zeros(coordinates.shape[1:], bool)
    for _ in range(rng.integers(2, 5)):
        direction = random_direction(rng)
        offset = coordinates - as_vector(rng.uniform(-0.2, 0.2, 3))
        along = np.tensordot(direction, offset, 1)
        distance = np.sqrt(np.maximum((offset**2).sum(0) - along**2, 0))
        mask |= distance < rng.uniform(0.018, 0.03)
    return mask
