"""Generated scans of an organ with small lesions, in nnU-Net's raw layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

from nnunetv2_dycon.demo.raw_layout import Scan, write_raw_dataset
from nnunetv2_dycon.demo.shapes import as_vector, ellipsoid, random_direction, smooth_field, vessel_mask

BACKGROUND, ORGAN, LESION = 0, 1, 2


def generate_scan(shape: tuple[int, int, int], *, channels: int = 1, seed: int | tuple[int, ...]) -> Scan:
    """Generate a scan whose anatomy, contrast, spacing and shape depend on the seed alone.

    The organ (label 1) is two deformed ellipsoids grown together; one to three lesions (label 2) lie inside it and
    differ little from it. A neighbour as bright as the organ and a few bright vessels, both background, keep
    intensity alone from solving the task.

    Args:
        shape: typical number of voxels in the order (z, y, x), each at least 12; a case has 88 % to 112 % of it per
            axis.
        channels: number of image channels of the same anatomy, each with a contrast of its own.
        seed: the same seed gives the same arrays.

    Raises:
        ValueError: if an axis has fewer than 12 voxels or there are no channels.
    """
    if min(shape) < 12 or channels < 1:
        raise ValueError(f"generate_scan needs axes of at least 12 voxels and a channel, got {shape}, {channels}")
    rng = np.random.default_rng(seed)
    spacing = np.round(np.array([rng.uniform(1.0, 1.4), *[rng.uniform(0.85, 1.15)] * 2]), 2)
    size = tuple(int(n) for n in np.round(np.array(shape) * rng.uniform(0.88, 1.12, 3)))
    # Coordinates (3, Z, Y, X) about the centre are in fractions of the typical axis: the organ fills any shape alike.
    step = spacing / np.array([1.2, 1.0, 1.0]) / np.array(shape)
    coordinates = (np.indices(size) - as_vector((np.array(size) - 1) / 2)) * as_vector(step)
    body = ellipsoid(coordinates, rng.uniform(-0.02, 0.02, 3), rng.uniform(0.43, 0.48, 3)) < 1
    organ = _organ(rng, coordinates) & body
    neighbour = ellipsoid(coordinates, random_direction(rng) * 0.36, rng.uniform(0.08, 0.14, 3)) < 1
    vessels = vessel_mask(rng, coordinates)
    lesions = _lesions(rng, coordinates, organ)
    labels = np.where(lesions, LESION, np.where(organ, ORGAN, BACKGROUND)).astype(np.uint8)
    tissues = (body, neighbour & body & ~organ, organ, vessels & body & ~lesions, lesions)
    images = [_image(rng, *tissues) for _ in range(channels)]
    z, y, x = spacing.tolist()
    return Scan(np.stack(images), labels, (z, y, x))


def write_demo_dataset(
    raw_dataset_folder: Path,
    *,
    labeled: int = 4,
    unlabeled: int = 12,
    test: int = 4,
    shape: tuple[int, int, int] = (40, 44, 44),
    channels: int = 1,
    seed: int = 2504,
) -> None:
    """Write a small generated data set, the same bytes for the same arguments.

    Cases are numbered through: ``demo_000 …`` are labeled (imagesTr, labelsTr), the next ones are unlabeled
    (imagesUnlabeled, no labels anywhere) and the last ones are for testing (imagesTs, labelsTs).

    nnU-Net splits the labeled cases five ways and cannot do so with fewer than five: train fold ``all`` then. Folders
    without a case are not made. Shape and channels are those of :func:`generate_scan`.

    Raises:
        UserError: if the folder has files in it.
        ValueError: if a number of cases is negative, or a shape or number of channels is out of range.
    """
    write_raw_dataset(
        raw_dataset_folder,
        lambda index, _: generate_scan(shape, channels=channels, seed=(seed, index)),
        numbers={"Tr": labeled, "Unlabeled": unlabeled, "Ts": test},
        labels={"background": BACKGROUND, "organ": ORGAN, "lesion": LESION},
        description="Generated scans: an organ with small low-contrast lesions.",
    )


def _organ(rng: np.random.Generator, coordinates: np.ndarray) -> np.ndarray:
    """Mask of two overlapping ellipsoids with an uneven surface."""
    centre = rng.uniform(-0.05, 0.05, 3)
    main = ellipsoid(coordinates, centre, rng.uniform(0.19, 0.27, 3))
    lobe = ellipsoid(coordinates, centre + random_direction(rng) * 0.17, rng.uniform(0.12, 0.17, 3))
    # A smooth minimum, so that the two grow together without an edge.
    blend = -np.log(np.exp(-8 * main) + np.exp(-8 * lobe)) / 8
    return blend + 0.09 * smooth_field(rng, blend.shape, 6) < 1


def _lesions(rng: np.random.Generator, coordinates: np.ndarray, organ: np.ndarray) -> np.ndarray:
    """Mask of one to three small ellipsoids inside the organ, each of at least one voxel."""
    depth = distance_transform_edt(organ)
    candidates = np.argwhere(depth >= min(3.0, depth.max()))
    mask = np.zeros(organ.shape, bool)
    for _ in range(rng.integers(1, 4)):
        z, y, x = candidates[rng.integers(len(candidates))]
        mask |= ellipsoid(coordinates, coordinates[:, z, y, x], rng.uniform(0.10, 0.15, 3)) < 1
    return mask & organ


def _image(rng: np.random.Generator, body: np.ndarray, *tissues: np.ndarray) -> np.ndarray:
    """One int16 channel: blurred tissue intensities times a bias field, with noise."""
    neighbour, organ, vessels, lesions = tissues
    size = body.shape
    organ_intensity = rng.uniform(0.52, 0.62)
    image = np.where(body, rng.uniform(0.30, 0.38), 0.05)
    image[neighbour] = organ_intensity + rng.uniform(-0.05, 0.05)
    image[organ] = organ_intensity
    image[vessels] = rng.uniform(0.68, 0.78)
    image[lesions] = organ_intensity + rng.uniform(0.15, 0.20)
    image = gaussian_filter(image + 0.02 * smooth_field(rng, size, 10), 0.6)
    image = image * np.exp(rng.uniform(0.08, 0.18) * smooth_field(rng, size, 3))
    # Magnitude images have Rician noise: both parts of the signal are noisy.
    sigma = rng.uniform(0.03, 0.045)
    real, imaginary = image + rng.normal(0, sigma, size), rng.normal(0, sigma, size)
    return np.round(1000 * np.hypot(real, imaginary)).astype(np.int16)
