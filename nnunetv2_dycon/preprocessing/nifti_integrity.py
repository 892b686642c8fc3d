"""Finding damaged NIfTI files that nnU-Net's readers let pass."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np

from nnunetv2_dycon.exceptions import UserError

_BLOCK_SIZE = 1 << 20


def check_nifti(file: Path) -> None:
    """Read a NIfTI file to its end. ITK fills what is missing of a truncated one with 0 and reads NaN as 0.

    Args:
        file: of any format; other formats than NIfTI are left to nnU-Net's readers.

    Raises:
        UserError: for values that are NaN or infinite.
        EOFError, OSError, ValueError, zlib.error: for a file that is truncated or damaged.
        nibabel.filebasedimages.ImageFileError, nibabel.spatialimages.HeaderDataError: for one that is no NIfTI file.
    """
    if not file.name.endswith((".nii", ".nii.gz")):
        return
    if file.suffix == ".gz":
        with gzip.open(file) as stream:
            while stream.read(_BLOCK_SIZE):
                pass
    values = nibabel.load(file).dataobj.get_unscaled()
    if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
        raise UserError("holds values that are NaN or infinite")
