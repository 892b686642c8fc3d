from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
import torch
from nnunetv2.imageio.tif_reader_writer import Tiff3DIO
from skimage import io

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.self_training.pseudo_labeled_dataset import add_pseudo_labels, write_pseudo_labeled_dataset
from nnunetv2_dycon.self_training.record import RECORD
from nnunetv2_dycon.training.checkpoints import STATE_KEY, TRAINING_CASES_KEY
from tests.self_training.conftest import contents

if TYPE_CHECKING:
    from tests.conftest import Workspace
    from tests.self_training.conftest import Predicted


@pytest.mark.parametrize("link", [True, False])
def test_unlabeled_scans_get_their_predictions_for_labels(predicted: Predicted, link: bool) -> None:
    before = contents(predicted.raw)
    dataset = write_pseudo_labeled_dataset(predicted.raw, predicted.predictions, predicted.target, link=link)
    assert dataset.labeled == [f"demo_{i:03d}" for i in range(5)]
    assert dataset.pseudo_labeled == ["demo_005", "demo_006"]
    made = contents(predicted.target)
    dataset_json = json.loads(made.pop("dataset.json"))
    expected = json.loads(before["dataset.json"]) | {"name": predicted.target.name, "numTraining": 7}
    # The predictions are not in a model's folder.
    expected["self_training"] = {"folds": None, "cases": ["demo_005", "demo_006"]}
    assert dataset_json == expected
    record = json.loads(made.pop(RECORD))
    assert (record["source"], record["predictions"].split("/")[-2:]) == ("Dataset501_Demo", ["fold_0", "predictions"])
    images = {name.replace("Unlabeled", "Tr"): data for name, data in before.items() if name.startswith("images")}
    labels = {name: data for name, data in before.items() if name.startswith("labels")}
    pseudo_labels = {f"labelsTr/{file.name}": file.read_bytes() for file in predicted.predictions.glob("*.nii.gz")}
    assert len(images) == 14
    assert made == images | labels | pseudo_labels
    links = {str(file.relative_to(predicted.target)) for file in predicted.target.rglob("*") if file.is_symlink()}
    assert links == ((images.keys() | labels.keys()) if link else set())
    assert contents(predicted.raw) == before


def test_again_changes_nothing_and_other_predictions_are_refused(predicted: Predicted) -> None:
    arguments = (predicted.raw, predicted.predictions, predicted.target)
    dataset = write_pseudo_labeled_dataset(*arguments)
    times = {file: file.lstat().st_mtime_ns for file in predicted.target.rglob("*")}
    assert write_pseudo_labeled_dataset(*arguments) == dataset
    shutil.copyfile(predicted.predictions / "demo_005.nii.gz", predicted.predictions / "demo_006.nii.gz")
    with pytest.raises(UserError, match=r"earlier self-training of other data \(pseudo_labels_sha256 differ\)"):
        write_pseudo_labeled_dataset(*arguments)
    assert {file: file.lstat().st_mtime_ns for file in predicted.target.rglob("*")} == times


def test_folds_that_changed_since_the_first_model_was_trained_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    model = workspace.results / "nnUNetTrainerDyCON__nnUNetPlansSmall__3d_fullres" / "fold_0"
    predictions = model / "pseudo_labels"
    predictions.mkdir(parents=True)
    for scan in (workspace.raw / "imagesUnlabeled").iterdir():
        shutil.copy(workspace.raw / "labelsTr" / "demo_000.nii.gz", predictions / scan.name.replace("_0000", ""))
    learnt = ["demo_000", "demo_001", "demo_002", "demo_003"]
    torch.save({STATE_KEY: {TRAINING_CASES_KEY: learnt}}, model / "checkpoint_final.pth")
    workspace.write_splits({"train": learnt[1:], "val": ["demo_000", "demo_004"]})
    with pytest.raises(UserError, match=r'"val" of fold 0, has demo_000 now, and the model in .*fold_0 has learnt'):
        add_pseudo_labels("501", predictions, "502")
    assert not list(workspace.raw.parent.glob("Dataset502*"))
    workspace.write_splits({"train": learnt, "val": ["demo_004", "demo_005"]})
    add_pseudo_labels("501", predictions, "502")
    # A model of another dataset has not learnt from these cases, whatever their names.
    other = workspace.results.with_name("Dataset400_Other") / model.relative_to(workspace.results)
    shutil.copytree(model, other)
    add_pseudo_labels("501", other / "pseudo_labels", "504")
    # Of predictions elsewhere it is not known which model made them.
    workspace.write_splits({"train": learnt[1:], "val": ["demo_000", "demo_004"]})
    add_pseudo_labels("501", predictions.rename(tmp_path / "predictions"), "503")


def test_an_interrupted_call_leaves_nothing_in_the_way(predicted: Predicted) -> None:
    rest = predicted.target.with_name(f".partial_{predicted.target.name}") / "imagesTr"
    rest.mkdir(parents=True)
    (rest / "stale_0000.nii.gz").write_text("of the interrupted call")
    write_pseudo_labeled_dataset(predicted.raw, predicted.predictions, predicted.target)
    assert "imagesTr/stale_0000.nii.gz" not in contents(predicted.target)
    assert sorted(folder.name for folder in predicted.target.parent.iterdir()) == [
        predicted.raw.name,
        predicted.target.name,
    ]


def test_a_folder_of_the_users_is_left_alone(predicted: Predicted) -> None:
    predicted.target.mkdir()
    with pytest.raises(UserError, match="was not made by self-training"):
        write_pseudo_labeled_dataset(predicted.raw, predicted.predictions, predicted.target)
    assert not list(predicted.target.iterdir())


def test_a_label_that_cannot_be_read_is_named(predicted: Predicted) -> None:
    file = predicted.raw / "labelsTr" / "demo_003.nii.gz"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"demo_003\.nii\.gz cannot be read .* replace it"):
        write_pseudo_labeled_dataset(predicted.raw, predicted.predictions, predicted.target)
    assert not predicted.target.exists()


def test_predictions_must_be_whole_and_of_the_dataset(predicted: Predicted) -> None:
    arguments = (predicted.raw, predicted.predictions, predicted.target)
    file = predicted.predictions / "demo_006.nii.gz"
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])
    with pytest.raises(UserError, match=r"demo_006\.nii\.gz cannot be read"):
        write_pseudo_labeled_dataset(*arguments)
    sitk.WriteImage(sitk.GetImageFromArray(np.full((12, 12, 12), 7, dtype=np.uint8)), str(file))
    with pytest.raises(UserError, match="the value 7, which is no label"):
        write_pseudo_labeled_dataset(*arguments)
    file.unlink()
    with pytest.raises(UserError, match=r"1 of 2 predictions are missing, .*demo_006"):
        write_pseudo_labeled_dataset(*arguments)
    assert not predicted.target.exists()


def test_regions_and_an_ignore_label(predicted: Predicted) -> None:
    file = predicted.raw / "dataset.json"
    dataset_json = json.loads(file.read_text())
    labels = {"background": 0, "both": [1, 2], "lesion": [2], "ignore": 3}
    file.write_text(json.dumps(dataset_json | {"labels": labels, "regions_class_order": [1, 2]}))
    write_pseudo_labeled_dataset(predicted.raw, predicted.predictions, predicted.target)
    made = json.loads((predicted.target / "dataset.json").read_text())
    assert (made["labels"], made["regions_class_order"]) == (labels, [1, 2])
    shutil.rmtree(predicted.target)
    ignored = sitk.GetImageFromArray(np.full((12, 12, 12), 3, dtype=np.uint8))
    sitk.WriteImage(ignored, str(predicted.predictions / "demo_005.nii.gz"))
    with pytest.raises(UserError, match="the value 3, which is no label"):
        write_pseudo_labeled_dataset(predicted.raw, predicted.predictions, predicted.target)


def test_file_lists_of_dataset_json_become_plain_folders(predicted: Predicted) -> None:
    """nnU-Net's dataset.json may name the training files; the new dataset needs no such list."""
    file = predicted.raw / "dataset.json"
    (predicted.raw / "imagesTr").rename(predicted.raw / "elsewhere")
    images = [f"elsewhere/demo_000_000{channel}.nii.gz" for channel in (0, 1)]
    listed = {"dataset": {"case": {"images": images, "label": "labelsTr/demo_000.nii.gz"}}}
    file.write_text(json.dumps(json.loads(file.read_text()) | listed))
    dataset = write_pseudo_labeled_dataset(predicted.raw, predicted.predictions, predicted.target)
    assert dataset.labeled == ["case"]
    made = contents(predicted.target)
    assert made["imagesTr/case_0001.nii.gz"] == (predicted.raw / images[1]).read_bytes()
    assert "dataset" not in json.loads(made["dataset.json"])


def test_the_spacing_of_a_tiff_comes_along(tmp_path: Path) -> None:
    raw, predictions, target = tmp_path / "Dataset501_T", tmp_path / "predictions", tmp_path / "Dataset502_T"
    for folder in (raw / "imagesTr", raw / "labelsTr", raw / "imagesUnlabeled", predictions):
        folder.mkdir(parents=True)
    spacings = {}
    for place, spacing in (("imagesTr/a", 1), ("labelsTr/a", 2), ("imagesUnlabeled/b", 3), ("../predictions/b", 4)):
        (raw / f"{place}.json").write_text(json.dumps({"spacing": [spacing] * 3}))
        name = f"{place}_0000.tif" if "images" in place else f"{place}.tif"
        tifffile.imwrite(raw / name, np.zeros((5, 6, 7), dtype=np.uint8))
        spacings[place.replace("Unlabeled", "Tr").replace("../predictions", "labelsTr")] = spacing
    dataset_json = {"channel_names": {"0": "MRI"}, "labels": {"background": 0, "a": 1}, "file_ending": ".tif"}
    (raw / "dataset.json").write_text(json.dumps(dataset_json))
    one = np.zeros((5, 6, 7), dtype=np.uint8)
    one[1:3, 1:3, 1:3] = 1
    for case in "acde":
        tifffile.imwrite(raw / "labelsTr" / f"{case}.tif", one)
        tifffile.imwrite(raw / "imagesTr" / f"{case}_0000.tif", one)
    more = one.copy()
    more[4, 5, 6] = 1
    tifffile.imwrite(predictions / "b.tif", more)
    write_pseudo_labeled_dataset(raw, predictions, target)
    assert (tifffile.imread(target / "labelsTr" / "b.tif") == one).all()
    for place, spacing in spacings.items():
        if place.startswith("images"):
            _, properties = Tiff3DIO().read_images([str(target / f"{place}_0000.tif")])
        else:
            _, properties = Tiff3DIO().read_seg(str(target / f"{place}.tif"))
        assert properties["spacing"] == [spacing] * 3, place


def test_rgb_images_are_one_file_a_case(tmp_path: Path) -> None:
    raw, predictions, target = tmp_path / "Dataset501_RGB", tmp_path / "predictions", tmp_path / "Dataset502_RGB"
    files = ("imagesTr/a_0000.png", "labelsTr/a.png", "imagesUnlabeled/b_0000.png", "../predictions/b.png")
    for name in files:
        (raw / name).resolve().parent.mkdir(parents=True, exist_ok=True)
        raw.mkdir(exist_ok=True)
        io.imsave(raw / name, np.zeros((5, 6), dtype=np.uint8), check_contrast=False)
    channels = {"0": "R", "1": "G", "2": "B"}
    dataset_json = {"channel_names": channels, "labels": {"background": 0, "a": 1}, "file_ending": ".png"}
    (raw / "dataset.json").write_text(json.dumps(dataset_json))
    assert write_pseudo_labeled_dataset(raw, predictions, target).pseudo_labeled == ["b"]
    shutil.rmtree(target)
    prediction, one = np.zeros((2, 5, 6), dtype=np.uint8)
    one[1:3, 1:4] = prediction[1:3, 1:4] = prediction[4, 5] = 1
    io.imsave(predictions / "b.png", prediction, check_contrast=False)
    for case in "acde":
        (raw / "imagesTr" / f"{case}_0000.png").write_bytes((raw / "imagesTr" / "a_0000.png").read_bytes())
        io.imsave(raw / "labelsTr" / f"{case}.png", one, check_contrast=False)
    write_pseudo_labeled_dataset(raw, predictions, target)
    assert (io.imread(target / "labelsTr" / "b.png") == one).all()
    shutil.copyfile(raw / "imagesUnlabeled" / "b_0000.png", raw / "imagesUnlabeled" / "b_0001.png")
    with pytest.raises(UserError, match=r"case b .* has 2 of 1"):
        write_pseudo_labeled_dataset(raw, predictions, tmp_path / "Dataset503_RGB")


def _unlabeled(raw: Path) -> list[Path]:
    return sorted((raw / "imagesUnlabeled").iterdir())


def test_a_source_that_cannot_be_used_is_refused(predicted: Predicted) -> None:
    arguments = (predicted.raw, predicted.predictions, predicted.target)
    label = predicted.raw / "labelsTr" / "demo_003.nii.gz"
    label.rename(label.with_name("away"))
    with pytest.raises(UserError, match=r"demo_003\.nii\.gz is missing"):
        write_pseudo_labeled_dataset(*arguments)
    label.with_name("away").rename(label)
    for file in _unlabeled(predicted.raw)[:2]:
        shutil.copyfile(file, predicted.raw / "imagesTr" / file.name)
    with pytest.raises(UserError, match="demo_005 is both labeled and in imagesUnlabeled"):
        write_pseudo_labeled_dataset(*arguments)
    for file in _unlabeled(predicted.raw)[:2]:
        (predicted.raw / "imagesTr" / file.name).unlink()
    _unlabeled(predicted.raw)[1].unlink()
    with pytest.raises(UserError, match=r"demo_005 of .* has 1 of 2 channels"):
        write_pseudo_labeled_dataset(*arguments)
    shutil.rmtree(predicted.raw / "imagesUnlabeled")
    with pytest.raises(UserError, match="imagesUnlabeled has no scans"):
        write_pseudo_labeled_dataset(*arguments)
    assert not predicted.target.exists()
