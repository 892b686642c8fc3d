"""Model folders with validation results that nnU-Net itself has computed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from nnunetv2.evaluation.evaluate_predictions import compute_metrics, save_summary_json
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from nnunetv2.utilities.json_export import recursive_fix_for_json_export

Fold = Mapping[str, tuple[int, int]]


def _write(file: Path, voxels: Mapping[int, int]) -> None:
    """A row of twenty voxels: of each label as many as stated, from its own place on."""
    image = np.zeros((1, 1, 20), np.uint8)
    for label, number in voxels.items():
        image[..., 10 * (label - 1) : 10 * (label - 1) + number] = label
    file.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray(image), str(file))


@pytest.fixture
def write_model(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a model folder: for each fold, how many voxels of labels 1 and 2 a case's prediction has.

    The reference has ten of label 1 and as many of label 2 as ``inner`` says, so n voxels of label 1 have a Dice of
    2n / (n + 10).
    """

    def write(
        name: str, folds: Mapping[str, Fold], *, inner: int = 10, regions: bool = False, root: Path = tmp_path
    ) -> Path:
        model = root / name
        model.mkdir(parents=True)
        labels: dict[str, int | list[int]] = {"background": 0, "outer": 1, "inner": 2}
        if regions:
            labels |= {"outer": [1, 2]}
        (model / "dataset.json").write_text(json.dumps({"labels": labels, "file_ending": ".nii.gz"}))
        for fold, cases in folds.items():
            validation, reference = model / f"fold_{fold}" / "validation", root / "reference" / f"{name}_{fold}"
            for case, (outer_voxels, inner_voxels) in cases.items():
                _write(validation / f"{case}.nii.gz", {1: outer_voxels, 2: inner_voxels})
                _write(reference / f"{case}.nii.gz", {1: 10, 2: inner})
            keys = [(1, 2), (2,)] if regions else [1, 2]
            per_case = [
                compute_metrics(str(reference / file.name), str(file), SimpleITKIO(), keys)
                for file in sorted(validation.glob("*.nii.gz"))
            ]
            summary = {"mean": {}, "metric_per_case": per_case}
            recursive_fix_for_json_export(summary)
            save_summary_json(summary, str(validation / "summary.json"))
        return model

    return write
