"""Writing generated scans in nnU-Net's raw layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import SimpleITK as sitk
from batchgenerators.utilities.file_and_folder_operations import save_json

from nnunetv2_dycon.exceptions import UserError

# The endings of nnU-Net's folders, images and labels: labeled, unlabeled, for testing.
Role = Literal["Tr", "Unlabeled", "Ts"]


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


def write_raw_dataset(
    raw_dataset_folder: Path,
    generate: Callable[[int, Role], Scan],
    *,
    numbers: Mapping[Role, int],
    labels: Mapping[str, int],
    description: str,
) -> None:
    """Write a generated data set, its cases numbered through in the order of the roles.

    Labels are written of all but the unlabeled cases. Folders without a case are not made.

    Args:
        raw_dataset_folder: to be made, or empty.
        generate: makes the scan of a case from its number and role.
        numbers: of cases.
        labels: of dataset.json.
        description: of dataset.json.

    Raises:
        UserError: if the folder has files in it.
        ValueError: if there is no labeled case, or a number is negative.
    """
    if numbers["Tr"] < 1 or min(numbers.values()) < 0:
        raise ValueError(
            f"needs a labeled case, got labeled={numbers['Tr']}, unlabeled={numbers['Unlabeled']}, test={numbers['Ts']}"
        )
    if raw_dataset_folder.exists() and any(raw_dataset_folder.iterdir()):
        raise UserError(f"{raw_dataset_folder} is not empty: remove it or choose another folder for the demo data set")
    roles: list[Role] = [role for role, number in numbers.items() for _ in range(number)]
    for index, role in enumerate(roles):
        scan, case = generate(index, role), f"demo_{index:03d}"
        channels = len(scan.channels)
        for channel, image in enumerate(scan.channels):
            _write(image, scan.spacing, raw_dataset_folder / f"images{role}" / f"{case}_{channel:04d}.nii.gz")
        if role != "Unlabeled":
            _write(scan.labels, scan.spacing, raw_dataset_folder / f"labels{role}" / f"{case}.nii.gz")
    dataset_json = {
        "name": "Demo",
        "description": description,
        "channel_names": {str(i): "MRI" if channels == 1 else f"MRI_{i}" for i in range(channels)},
        "labels": dict(labels),
        "numTraining": numbers["Tr"],
        "file_ending": ".nii.gz",
    }
    save_json(dataset_json, str(raw_dataset_folder / "dataset.json"), sort_keys=False)


def _write(array: np.ndarray, spacing: tuple[float, float, float], file: Path) -> None:
    """Write a (Z, Y, X) array; spacing in the same order in mm."""
    file.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing[::-1])
    sitk.WriteImage(image, str(file), useCompression=True)
