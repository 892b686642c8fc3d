"""The unlabeled scans of the tests' workspace, and changes to them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

if TYPE_CHECKING:
    from tests.conftest import Workspace


def scan_of(workspace: Workspace, case: str, channel: int = 0) -> Path:
    return workspace.raw / "imagesUnlabeled" / f"{case}_{channel:04d}.nii.gz"


def change_scan(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    image = sitk.ReadImage(str(path))
    changed = sitk.GetImageFromArray(change(sitk.GetArrayFromImage(image).astype(np.float32)))
    changed.SetSpacing(image.GetSpacing())
    sitk.WriteImage(changed, str(path))
