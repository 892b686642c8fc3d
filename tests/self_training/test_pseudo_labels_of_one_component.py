from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.self_training.pseudo_labeled_dataset import write_pseudo_labeled_dataset
from nnunetv2_dycon.self_training.record import RECORD
from nnunetv2_dycon.self_training.report import report_predictions
from tests.self_training.conftest import contents

if TYPE_CHECKING:
    from tests.self_training.conftest import Predicted


def _write_label(file: Path, *boxes: slice, like: Path | None = None) -> None:
    """A label file with a component of two classes for each slice of its first axis."""
    image = sitk.ReadImage(str(file if like is None else like))
    label_map = np.zeros(image.GetSize()[::-1], dtype=np.uint8)
    for box in boxes:
        label_map[box, 3:6, 3:6] = 1
        label_map[box, 3:6, 6:8] = 2
    label = sitk.GetImageFromArray(label_map)
    label.CopyInformation(image)
    sitk.WriteImage(label, str(file))


@pytest.fixture
def one_component(predicted: Predicted) -> Predicted:
    """Each labeled case has one component, the prediction of ``demo_005`` two, of ``demo_006`` one of two lesions."""
    for file in sorted((predicted.raw / "labelsTr").iterdir()):
        _write_label(file, slice(1, 5))
    _write_label(predicted.predictions / "demo_005.nii.gz", slice(0, 5), slice(9, 11))
    file = predicted.predictions / "demo_006.nii.gz"
    _write_label(file, slice(7, 9))
    image = sitk.ReadImage(str(file))
    image[2, 3, 8] = 2
    sitk.WriteImage(image, str(file))
    return predicted


def test_predictions_keep_the_largest_component_where_labeled_cases_have_one(
    one_component: Predicted, capsys: pytest.CaptureFixture[str]
) -> None:
    predicted = one_component
    before = contents(predicted.predictions)
    arguments = (predicted.raw, predicted.predictions, predicted.target)
    dataset = write_pseudo_labeled_dataset(*arguments)
    assert dataset.one_component == [(1, 2), (1,), (2,)]
    assert dataset.removed == {"demo_005": pytest.approx(2 / 7), "demo_006": pytest.approx(1 / 31)}
    for case, box in (("demo_005", slice(0, 5)), ("demo_006", slice(7, 9))):
        expected = predicted.target.with_name("expected.nii.gz")
        _write_label(expected, box, like=predicted.predictions / f"{case}.nii.gz")
        made, wanted = (sitk.ReadImage(str(f)) for f in (predicted.target / "labelsTr" / f"{case}.nii.gz", expected))
        assert (sitk.GetArrayFromImage(made) == sitk.GetArrayFromImage(wanted)).all()
        for geometry in ("GetSpacing", "GetOrigin", "GetDirection"):
            assert getattr(made, geometry)() == getattr(wanted, geometry)()
    assert contents(predicted.predictions) == before
    capsys.readouterr()
    report_predictions(dataset)
    assert capsys.readouterr().out == (
        "Every labeled case that shows it has one connected component of: the whole foreground, organ, lesion. "
        "Predictions keep the largest one.\n2 of 2 predictions had more. On average 15.90% of their foreground became "
        "background, at most 28.57% (demo_005). If scans can show several, start again with --all_components and new "
        "datasets after -o.\n"
    )
    assert write_pseudo_labeled_dataset(*arguments) == dataset
    with pytest.raises(UserError, match="was made without --all_components: leave it out to go on"):
        write_pseudo_labeled_dataset(*arguments, all_components=True)
    record = predicted.target / RECORD
    old = json.loads(record.read_text())
    for key in ("all_components", "one_component", "empty", "removed"):
        del old[key]
    record.write_text(json.dumps(old))
    assert not write_pseudo_labeled_dataset(*arguments, all_components=True).one_component
    with pytest.raises(UserError, match="was made with --all_components: give it to go on"):
        write_pseudo_labeled_dataset(*arguments)


def test_a_prediction_keeps_all_but_its_components(one_component: Predicted) -> None:
    """A direction that ITK refuses, the type of the values and the header stay; what has no more stays byte by byte."""
    predicted = one_component
    values = nibabel.load(predicted.predictions / "demo_005.nii.gz").get_fdata()
    affine = np.array([[2, 0.5, 0, 1], [0, 1, 0, 2], [0, 0, 3, 4], [0, 0, 0, 1.0]])
    image = nibabel.Nifti1Image(values.astype(np.int16), affine)
    image.header["descrip"] = b"of the first model"
    image.set_qform(None, 0)
    nibabel.save(image, predicted.predictions / "demo_005.nii.gz")
    other = nibabel.Nifti1Image((values * (np.indices(values.shape)[2] < 7)).astype(np.int16), affine)
    nibabel.save(other, predicted.predictions / "demo_006.nii.gz")
    dataset = write_pseudo_labeled_dataset(predicted.raw, predicted.predictions, predicted.target)
    assert list(dataset.removed) == ["demo_005"]
    made = nibabel.load(predicted.target / "labelsTr" / "demo_005.nii.gz")
    assert (np.asarray(made.dataobj) == np.asarray(other.dataobj)).all()
    assert made.header == image.header
    assert (made.affine == affine).all()
    whole = (predicted.predictions / "demo_006.nii.gz").read_bytes()
    assert (predicted.target / "labelsTr" / "demo_006.nii.gz").read_bytes() == whole


def test_predictions_are_taken_as_they_are_where_they_may_be(
    one_component: Predicted, capsys: pytest.CaptureFixture[str]
) -> None:
    predicted = one_component
    before = contents(predicted.predictions)
    other = predicted.target.with_name("Dataset503_Other")
    write_pseudo_labeled_dataset(predicted.raw, predicted.predictions, predicted.target, all_components=True)
    _write_label(predicted.raw / "labelsTr" / "demo_004.nii.gz", slice(0, 3), slice(5, 8))
    dataset = write_pseudo_labeled_dataset(predicted.raw, predicted.predictions, other)
    report_predictions(dataset)
    assert "connected" not in capsys.readouterr().out
    for target in (predicted.target, other):
        assert contents(target / "labelsTr")["demo_005.nii.gz"] == before["demo_005.nii.gz"]
