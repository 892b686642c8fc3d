from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import SimpleITK as sitk

from nnunetv2_dycon.self_training.pseudo_labeled_dataset import write_pseudo_labeled_dataset
from nnunetv2_dycon.self_training.report import report_predictions

if TYPE_CHECKING:
    from tests.self_training.conftest import Predicted


def test_predictions_of_background_alone_are_told(predicted: Predicted, capsys: pytest.CaptureFixture[str]) -> None:
    file = predicted.predictions / "demo_006.nii.gz"
    image = sitk.ReadImage(str(file))
    sitk.WriteImage(image * 0, str(file))
    dataset = write_pseudo_labeled_dataset(predicted.raw, predicted.predictions, predicted.target)
    assert write_pseudo_labeled_dataset(predicted.raw, predicted.predictions, predicted.target) == dataset
    report_predictions(dataset)
    assert "WARNING: of 2 predicted scans, 1 is background alone: demo_006." in capsys.readouterr().out
