"""The demo's data set: generated scans of an organ with small lesions, in nnU-Net's raw layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from batchgenerators.utilities.file_and_folder_operations import save_json
from scipy.ndimage import distance_transform_edt, gaussian_filter, zoom

from nnunetv2_dycon.exceptions import UserError

BACKGROUND, ORGAN, LESION = 0, 1, 2


@dataclass(frozen=True)
class Scan:
    """A generated scan and its labels.

    Attributes:
        channels: int16 array of shape (C, Z, Y, X).
        labels: uint8 array of shape (Z, Y, X) with 0 background, 1 organ, 2 lesion.
        spacing: voxel spacing in mm in the order (z, y, x).
    """

    channels: np.ndarray
    labels: np.ndarray
    spacing: tuple[float, float, float]


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
    coordinates = (np.indices(size) - _vector((np.array(size) - 1) / 2)) * _vector(step)
    body = _ellipsoid(coordinates, rng.uniform(-0.02, 0.02, 3), rng.uniform(0.43, 0.48, 3)) < 1
    organ = _organ(rng, coordinates) & body
    neighbour = _ellipsoid(coordinates, _direction(rng) * 0.36, rng.uniform(0.08, 0.14, 3)) < 1
    vessels = _vessels(rng, coordinates)
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
    if labeled < 1 or unlabeled < 0 or test < 0:
        raise ValueError(f"needs a labeled case, got labeled={labeled}, unlabeled={unlabeled}, test={test}")
    if raw_dataset_folder.exists() and any(raw_dataset_folder.iterdir()):
        raise UserError(f"{raw_dataset_folder} is not empty: remove it or choose another folder for the demo data set")
    for index, suffix in enumerate(["Tr"] * labeled + ["Unlabeled"] * unlabeled + ["Ts"] * test):
        scan, case = generate_scan(shape, channels=channels, seed=(seed, index)), f"demo_{index:03d}"
        for channel, image in enumerate(scan.channels):
            _write(image, scan.spacing, raw_dataset_folder / f"images{suffix}" / f"{case}_{channel:04d}.nii.gz")
        if suffix != "Unlabeled":
            _write(scan.labels, scan.spacing, raw_dataset_folder / f"labels{suffix}" / f"{case}.nii.gz")
    dataset_json = {
        "name": "Demo",
        "description": "Generated scans: an organ with small low-contrast lesions.",
        "channel_names": {str(i): "MRI" if channels == 1 else f"MRI_{i}" for i in range(channels)},
        "labels": {"background": BACKGROUND, "organ": ORGAN, "lesion": LESION},
        "numTraining": labeled,
        "file_ending": ".nii.gz",
    }
    save_json(dataset_json, str(raw_dataset_folder / "dataset.json"), sort_keys=False)


def _vector(values: np.ndarray) -> np.ndarray:
    """Three values as an array of shape (3, 1, 1, 1), beside coordinates."""
    return values[:, None, None, None]


def _direction(rng: np.random.Generator) -> np.ndarray:
    """A random unit vector."""
    vector = rng.normal(size=3)
    return vector / np.linalg.norm(vector)


def _smooth_field(rng: np.random.Generator, size: tuple[int, ...], knots: int) -> np.ndarray:
    """A smooth random field of unit standard deviation, interpolated from ``knots`` random values per axis."""
    coarse = rng.normal(size=(knots,) * 3)
    field = zoom(coarse, [n / knots for n in size], order=3, mode="nearest")
    return (field - field.mean()) / field.std()


def _ellipsoid(coordinates: np.ndarray, centre: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Distance from the centre in units of the radii: below 1 is inside."""
    return np.sqrt((((coordinates - _vector(centre)) / _vector(radii)) ** 2).sum(0))


def _organ(rng: np.random.Generator, coordinates: np.ndarray) -> np.ndarray:
    """Mask of two overlapping ellipsoids with an uneven surface."""
    centre = rng.uniform(-0.05, 0.05, 3)
    main = _ellipsoid(coordinates, centre, rng.uniform(0.19, 0.27, 3))
    lobe = _ellipsoid(coordinates, centre + _direction(rng) * 0.17, rng.uniform(0.12, 0.17, 3))
    # A smooth minimum, so that the two grow together without an edge.
    blend = -np.log(np.exp(-8 * main) + np.exp(-8 * lobe)) / 8
    return blend + 0.09 * _smooth_field(rng, blend.shape, 6) < 1


def _vessels(rng: np.random.Generator, coordinates: np.ndarray) -> np.ndarray:
    """Mask of thin straight tubes that cross the scan."""
    mask = np.zeros(coordinates.shape[1:], bool)
    for _ in range(rng.integers(2, 5)):
        direction = _direction(rng)
        offset = coordinates - _vector(rng.uniform(-0.2, 0.2, 3))
        along = np.tensordot(direction, offset, 1)
        distance = np.sqrt(np.maximum((offset**2).sum(0) - along**2, 0))
        mask |= distance < rng.uniform(0.018, 0.03)
    return mask


def _lesions(rng: np.random.Generator, coordinates: np.ndarray, organ: np.ndarray) -> np.ndarray:
    """Mask of one to three small ellipsoids inside the organ, each of at least one voxel."""
    depth = distance_transform_edt(organ)
    candidates = np.argwhere(depth >= min(3.0, depth.max()))
    mask = np.zeros(organ.shape, bool)
    for _ in range(rng.integers(1, 4)):
        z, y, x = candidates[rng.integers(len(candidates))]
        mask |= _ellipsoid(coordinates, coordinates[:, z, y, x], rng.uniform(0.10, 0.15, 3)) < 1
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
    image = gaussian_filter(image + 0.02 * _smooth_field(rng, size, 10), 0.6)
    image = image * np.exp(rng.uniform(0.08, 0.18) * _smooth_field(rng, size, 3))
    # Magnitude images have Rician noise: both parts of the signal are noisy.
    sigma = rng.uniform(0.03, 0.045)
    real, imaginary = image + rng.normal(0, sigma, size), rng.normal(0, sigma, size)
    return np.round(1000 * np.hypot(real, imaginary)).astype(np.int16)


def _write(array: np.ndarray, spacing: tuple[float, float, float], file: Path) -> None:
    """Write a (Z, Y, X) array; spacing in the same order in mm."""
    file.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing[::-1])
    sitk.WriteImage(image, str(file), useCompression=True)
