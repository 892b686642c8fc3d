"""Generated scans with one or two tiny lesions among things that look like them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from batchgenerators.utilities.file_and_folder_operations import save_json
from scipy.ndimage import gaussian_filter, zoom
from tqdm import tqdm


def generate_scan(size: int, seed: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Generate a scan and its labels, the same for the same seed.

    Lesions are balls of 5 to 8 voxels across. Tubes, which look like them in a slice, and bodies of 14 to 24 voxels
    across are brighter than their surroundings by three times the noise, and lesions than these by twice the noise.

    Args:
        size: voxels along each of the three axes.
        seed: of everything.

    Returns:
        float32 intensities and uint8 labels (1: lesion), (size, size, size) both.
    """
    rng = np.random.default_rng(seed)
    places = np.indices((size,) * 3, dtype=np.float32)
    bright = np.zeros((size,) * 3, bool)
    for _ in range(5):
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        offset = places - rng.uniform(0, size, (3, 1, 1, 1)).astype(np.float32)
        along = np.tensordot(direction.astype(np.float32), offset, 1)
        bright |= (offset**2).sum(0) - along**2 < rng.uniform(2.0, 3.0) ** 2
    for _ in range(3):
        bright |= _ball(places, rng.uniform(0, size, 3), rng.uniform(7, 12))
    lesions = np.zeros_like(bright)
    for _ in range(rng.integers(1, 3)):
        while True:
            centre, radius = rng.uniform(8, size - 8, 3), rng.uniform(2.5, 4.0)
            if not (_ball(places, centre, radius + 3) & (bright | lesions)).any():
                break
        lesions |= _ball(places, centre, radius)
    image = gaussian_filter(np.select([lesions, bright], [0.65, 0.5], 0.3).astype(np.float32), 0.7)
    field = zoom(rng.normal(0, 0.05, (4,) * 3), size / 4, order=3, mode="nearest")
    return (image + field + rng.normal(0, 0.07, image.shape)).astype(np.float32), lesions.astype(np.uint8)


def _ball(places: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    return ((places - centre.astype(np.float32)[:, None, None, None]) ** 2).sum(0) < radius**2


def write_dataset(raw: Path, hidden: Path, *, labeled: int, unlabeled: int, test: int, size: int) -> None:
    """Write a raw dataset of nnU-Net: labeled cases, of which the last are for testing, and unlabeled ones.

    Args:
        raw: its folder, which is made.
        hidden: a folder for the labels of the unlabeled cases, an array for each; no training reads it.
        labeled: how many cases to train on.
        unlabeled: how many cases without labels.
        test: how many cases to validate on.
        size: see :func:`generate_scan`.
    """
    for folder in (hidden, *(raw / name for name in ("imagesTr", "labelsTr", "imagesUnlabeled"))):
        folder.mkdir(parents=True)
    kinds = ["labeled"] * labeled + ["test"] * test + ["unlabeled"] * unlabeled
    for index, kind in enumerate(tqdm(kinds, desc="Generating scans")):
        name = f"{kind}_{index:03d}"
        image, labels = generate_scan(size, (16, index))
        images = raw / ("imagesUnlabeled" if kind == "unlabeled" else "imagesTr")
        sitk.WriteImage(sitk.GetImageFromArray(image), str(images / f"{name}_0000.nii"))
        if kind == "unlabeled":
            np.save(hidden / f"{name}.npy", labels)
        else:
            sitk.WriteImage(sitk.GetImageFromArray(labels), str(raw / "labelsTr" / f"{name}.nii"))
    dataset_json = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "lesion": 1},
        "numTraining": labeled + test,
        "file_ending": ".nii",
    }
    save_json(dataset_json, str(raw / "dataset.json"), sort_keys=False)
