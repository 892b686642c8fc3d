from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest

from nnunetv2_dycon.datasets.label_maps import read_label_map, rewrite_label_map


@pytest.mark.parametrize(("dtype", "slope"), [(np.int16, 0.5), (np.uint8, 300), (np.float32, 1), (">i4", 1)])
def test_values_of_any_type_are_written_back(tmp_path: Path, dtype: str, slope: float) -> None:
    file, values = tmp_path / "label.nii.gz", np.zeros((3, 3, 3))
    values[0], values[2] = slope, 2 * slope
    image = nibabel.Nifti1Image(np.zeros((3, 3, 3), dtype=dtype), np.eye(4), nibabel.Nifti1Header(endianness="<"))
    image.header.set_data_dtype(dtype)
    image.header.set_slope_inter(slope, 0)
    with gzip.open(file, "wb") as stream:
        image.header.structarr["vox_offset"], image.header.structarr["magic"] = 352, b"n+1"
        image.header.write_to(stream)
        stream.write((values / slope).astype(image.get_data_dtype()).tobytes(order="F"))
    label_map = read_label_map(file, "replace it")
    assert (label_map == values).all()
    label_map = np.where(label_map == slope, 0, label_map)
    rewrite_label_map(file, label_map)
    assert (read_label_map(file, "replace it") == label_map).all()
