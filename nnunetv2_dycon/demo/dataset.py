"""The demo's data set: generated scans in nnU-Net's raw layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from batchgenerators.utilities.file_and_folder_operations import save_json

from nnunetv2_dycon.demo.scan import BACKGROUND, LESION, ORGAN, generate_scan
from nnunetv2_dycon.exceptions import UserError


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

    nnU-Net splits the labeled cases five ways and cannot do so with fewer than five: train fold ``all`` then.

    Args:
        raw_dataset_folder: folder to write, ``…/nnUNet_raw/DatasetXXX_NAME``; must not exist or be empty.
        labeled: number of labeled cases, at least 1.
        unlabeled: number of unlabeled cases; with 0 there is no folder imagesUnlabeled.
        test: number of test cases; with 0 there are no folders imagesTs and labelsTs.
        shape: typical number of voxels in the order (z, y, x), each at least 12.
        channels: number of image channels.
        seed: seed of the whole data set.

    Raises:
        UserError: if the folder has files in it.
        ValueError: if a number of cases is negative, or a shape or number of channels is out of range.
    """
    if labeled < 1 or unlabeled < 0 or test < 0:
        raise ValueError(f"needs a labeled case, got labeled={labeled}, unlabeled={unlabeled}, test={test}")
    if raw_dataset_folder.exists() and any(raw_dataset_folder.iterdir()):
        raise UserError(f"{raw_dataset_folder} is not empty: remove it or choose another folder for the demo data set")
    folders = (
        [("imagesTr", "labelsTr")] * labeled
        + [("imagesUnlabeled", None)] * unlabeled
        + [("imagesTs", "labelsTs")] * test
    )
    for index, (images, labels) in enumerate(folders):
        scan = generate_scan(shape, channels=channels, seed=(seed, index))
        for channel, image in enumerate(scan.channels):
            _write(image, scan.spacing, raw_dataset_folder / images / f"demo_{index:03d}_{channel:04d}.nii.gz")
        if labels is not None:
            _write(scan.labels, scan.spacing, raw_dataset_folder / labels / f"demo_{index:03d}.nii.gz")
    names = ["MRI"] if channels == 1 else [f"MRI_{channel}" for channel in range(channels)]
    save_json(
        {
            "name": "Demo",
            "description": "Generated scans: an organ with small low-contrast lesions.",
            "channel_names": {str(channel): name for channel, name in enumerate(names)},
            "labels": {"background": BACKGROUND, "organ": ORGAN, "lesion": LESION},
            "numTraining": labeled,
            "file_ending": ".nii.gz",
        },
        str(raw_dataset_folder / "dataset.json"),
        sort_keys=False,
    )


def _write(array: np.ndarray, spacing: tuple[float, float, float], file: Path) -> None:
    """Write a (Z, Y, X) array; spacing in the same order in mm."""
    file.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing[::-1])
    sitk.WriteImage(image, str(file), useCompression=True)
