"""The demo's data set: labeled scans of one scanner and alike patients, unlabeled and test scans of many."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from nnunetv2_dycon.demo.raw_layout import Role, Scan, write_raw_dataset
from nnunetv2_dycon.demo.shapes import as_vector, ellipsoid, random_direction, smooth_field, vessel_mask

ORGAN = 1
SHAPE, SPACING = (20, 32, 32), (1.0, 1.0, 1.0)

Range = tuple[float, float]


@dataclass(frozen=True)
class Ranges:
    """Between which values each property of a scan is drawn, uniformly.

    Lengths are fractions of the scan's edges, intensities about those of the body, 0.30 to 0.36.

    Attributes:
        contrast: by how much the organ is brighter than the body.
        neighbour: contrast of a neighbour, as a fraction of the organ's.
        noise: standard deviation.
        shading: standard deviation of the logarithm of the bias field.
        offset: distance of the organ from the centre.
        radius: of the organ, the geometric mean over the axes.
        elongation: its longest radius over the others.
        unevenness: of its surface, as a fraction of the radius.
    """

    contrast: Range
    neighbour: Range
    noise: Range
    shading: Range
    offset: Range
    radius: Range
    elongation: Range
    unevenness: Range

    def draw(self, rng: np.random.Generator) -> dict[str, float]:
        """Draw each property."""
        return {field.name: float(rng.uniform(*getattr(self, field.name))) for field in fields(self)}


# How these were chosen: documentation/demo.md. The labeled scans lie at one end of what the others span.
ONE_SCANNER = Ranges(
    contrast=(0.26, 0.30),
    neighbour=(0.64, 0.76),
    noise=(0.03, 0.04),
    shading=(0.05, 0.10),
    offset=(0.0, 0.04),
    radius=(0.19, 0.21),
    elongation=(1.0, 1.1),
    unevenness=(0.03, 0.05),
)
ALL_SCANNERS = Ranges(
    contrast=(0.11, 0.30),
    neighbour=(0.64, 1.0),
    noise=(0.03, 0.09),
    shading=(0.05, 0.40),
    offset=(0.0, 0.20),
    radius=(0.13, 0.26),
    elongation=(1.0, 1.6),
    unevenness=(0.03, 0.16),
)


def ranges_of(role: Role) -> Ranges:
    """The ranges of labeled scans, or those of all others."""
    return ONE_SCANNER if role == "Tr" else ALL_SCANNERS


def generate_scanner_scan(ranges: Ranges, *, seed: int | tuple[int, ...]) -> Scan:
    """Generate a scan of :data:`SHAPE`; its labels have 1 in the organ.

    The organ is an uneven ellipsoid in a darker body. A neighbour and bright vessels look like it. The same ranges and
    seed give the same arrays.
    """
    rng = np.random.default_rng(seed)
    drawn = ranges.draw(rng)
    coordinates = (np.indices(SHAPE) - as_vector((np.array(SHAPE) - 1) / 2)) / as_vector(np.array(SHAPE))
    body = ellipsoid(coordinates, rng.uniform(-0.02, 0.02, 3), rng.uniform(0.44, 0.50, 3)) < 1
    away = random_direction(rng)
    centre = away * drawn["offset"] * np.array([0.6, 1, 1])
    stretch = np.ones(3)
    stretch[rng.integers(3)] = drawn["elongation"]
    radii = drawn["radius"] * stretch / np.cbrt(drawn["elongation"])
    organ = body & (ellipsoid(coordinates, centre, radii) + drawn["unevenness"] * smooth_field(rng, SHAPE, 5) < 1)
    # On the side of the centre, where there is room.
    towards = random_direction(rng)
    towards = towards if towards @ away < 0 else -towards
    neighbour = body & ~organ & (ellipsoid(coordinates, centre + towards * 0.33, rng.uniform(0.09, 0.14, 3)) < 1)
    vessels = body & ~organ & vessel_mask(rng, coordinates)
    level = rng.uniform(0.30, 0.36)
    image = np.where(body, level, 0.05)
    image[neighbour] = level + drawn["contrast"] * drawn["neighbour"]
    image[organ] = level + drawn["contrast"]
    image[vessels] = level + drawn["contrast"] + 0.15
    image = gaussian_filter(image + 0.02 * smooth_field(rng, SHAPE, 10), 0.6)
    image = image * np.exp(drawn["shading"] * smooth_field(rng, SHAPE, 2))
    # Magnitude images have Rician noise: both parts of the signal are noisy.
    real, imaginary = image + rng.normal(0, drawn["noise"], SHAPE), rng.normal(0, drawn["noise"], SHAPE)
    channel = np.round(1000 * np.hypot(real, imaginary)).astype(np.int16)
    return Scan(channel[None], organ.astype(np.uint8), SPACING)


def write_scanners_dataset(
    raw_dataset_folder: Path, *, labeled: int = 4, unlabeled: int = 40, test: int = 16, seed: int = 2504
) -> None:
    """Write the demo's data set: labeled scans within :data:`ONE_SCANNER`, the others within :data:`ALL_SCANNERS`.

    Cases are named as by :func:`nnunetv2_dycon.demo.dataset.write_demo_dataset`. The same arguments give the same
    bytes.

    Raises:
        UserError: if the folder has files in it.
        ValueError: if there is no labeled case, or a number is negative.
    """
    write_raw_dataset(
        raw_dataset_folder,
        lambda index, role: generate_scanner_scan(ranges_of(role), seed=(seed, index)),
        numbers={"Tr": labeled, "Unlabeled": unlabeled, "Ts": test},
        labels={"background": 0, "organ": ORGAN},
        description="Generated scans: labeled ones of one scanner, unlabeled and test scans of many.",
    )
