"""Label files for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk


def write_labels(source: Path, name: str, values: tuple[float, ...]) -> None:
    """Write a label file of a plain layout that holds these values."""
    labels = np.resize(np.array(values), (3, 4, 5))
    labels = labels.astype(np.float32 if any(value % 1 for value in values) else np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(labels), str(source / "labels" / f"{name}.nii.gz"))
