"""Scans in every format that nnU-Net reads: the same scans, and trainings and predictions on them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import blosc2
import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
import torch
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
from nnunetv2.imageio.reader_writer_registry import determine_reader_writer_from_file_ending
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from nnunetv2.imageio.tif_reader_writer import Tiff3DIO
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from skimage import io

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.preprocessing.prepare_unlabeled_data import UnlabeledData, prepare_unlabeled_data
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON
from tests.settings import FULL_WEIGHTS_AT_ONCE

if TYPE_CHECKING:
    from tests.conftest import Workspace

PLANS = "nnUNetPlansFormat"
FOLDERS = ("imagesTr", "labelsTr", "imagesUnlabeled", "imagesTs")


def write_by_itk(image: sitk.Image, file: Path) -> None:
    sitk.WriteImage(image, str(file), useCompression=True)


def write_tif(image: sitk.Image, file: Path) -> None:
    tifffile.imwrite(file, sitk.GetArrayFromImage(image), compression="zlib")
    spacing = file.with_name(f"{file.stem.removesuffix('_0000')}.json")
    spacing.write_text(json.dumps({"spacing": image.GetSpacing()[::-1]}))


def write_rgb(image: sitk.Image, file: Path) -> None:
    """The middle slice; an image gets three channels in one file."""
    array = sitk.GetArrayFromImage(image)
    array = array[len(array) // 2]
    if file.parent.name.startswith("images"):
        gray = np.clip(array // 6, 0, 255).astype(np.uint8)
        array = np.stack([gray, gray[::-1], 255 - gray], axis=-1)
    io.imsave(file, array, check_contrast=False)


def convert(workspace: Workspace, ending: str, write: Callable[[sitk.Image, Path], None]) -> None:
    """Bring all raw files into another format."""
    for folder in FOLDERS:
        for file in sorted((workspace.raw / folder).glob("*.nii.gz")):
            write(sitk.ReadImage(str(file)), file.with_name(file.name.replace(".nii.gz", ending)))
            file.unlink()
    workspace.write_dataset_json({**workspace.read_dataset_json(), "file_ending": ending})
    # As nnUNetv2_preprocess leaves them, for the validation.
    for file in (workspace.raw / "labelsTr").glob(f"*{ending}"):
        shutil.copyfile(file, workspace.preprocessed / "gt_segmentations" / file.name)


def read_unlabeled(data: UnlabeledData) -> dict[str, np.ndarray]:
    return {case: blosc2.open(str(data.folder / f"{case}.b2nd"), mode="r")[:] for case in data.identifiers}


def train_and_predict(workspace: Workspace, trainer: nnUNetTrainer, ending: str) -> None:
    trainer.run_training()
    log = trainer.logger.get_checkpoint()
    assert log["uncl_loss"][-1] > 0
    assert np.isfinite(log["train_losses"]).all()
    predictor = nnUNetPredictor(device=torch.device("cpu"), use_mirroring=False, allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(trainer.output_folder_base, (0,), "checkpoint_final.pth")
    output = workspace.root / "predictions"
    output.mkdir()
    predictor.predict_from_files_sequential(str(workspace.raw / "imagesTs"), str(output))
    reader = trainer.plans_manager.image_reader_writer_class()
    assert sorted(file.name for file in output.glob(f"*{ending}")) == [f"demo_010{ending}", f"demo_011{ending}"]
    for file in output.glob(f"*{ending}"):
        image, _ = reader.read_images(
            [str(workspace.raw / "imagesTs" / f"{file.name.removesuffix(ending)}_0000{ending}")]
        )
        segmentation, _ = reader.read_seg(str(file))
        assert segmentation.shape[1:] == image.shape[1:]


@pytest.mark.parametrize(
    ("ending", "write", "reader"),
    [(".nrrd", write_by_itk, SimpleITKIO), (".mha", write_by_itk, SimpleITKIO), (".tif", write_tif, Tiff3DIO)],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_same_scans_in_another_format(
    workspace: Workspace,
    prepare_unlabeled: Callable[..., UnlabeledData],
    ending: str,
    write: Callable[[sitk.Image, Path], None],
    reader: type,
) -> None:
    expected = read_unlabeled(prepare_unlabeled())
    convert(workspace, ending, write)
    example = str(workspace.raw / "imagesTr" / f"demo_000_0000{ending}")
    assert determine_reader_writer_from_file_ending(ending, example, verbose=False) is reader
    plans = workspace.read_plans()
    plans["image_reader_writer"] = reader.__name__
    workspace.write_plans(plans, PLANS)
    found = read_unlabeled(prepare_unlabeled(PLANS))
    assert found.keys() == expected.keys()
    for case, image in found.items():
        assert np.array_equal(image, expected[case]), case


def test_tiff_with_a_file_for_its_spacing(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]) -> None:
    convert(workspace, ".tif", write_tif)
    plans = workspace.read_plans()
    plans["image_reader_writer"] = Tiff3DIO.__name__
    plans["configurations"]["3d_fullres"]["dycon"] = FULL_WEIGHTS_AT_ONCE
    workspace.write_plans(plans, PLANS)
    train_and_predict(workspace, make_trainer(nnUNetTrainerDyCON, PLANS, num_epochs=1), ".tif")


def use_rgb_images(workspace: Workspace) -> tuple[PlansManager, dict]:
    """Turn the dataset into one of RGB images; returns its plans for 2d and its dataset.json."""
    convert(workspace, ".png", write_rgb)
    channels = {str(number): name for number, name in enumerate("RGB")}
    dataset_json = {**workspace.read_dataset_json(), "channel_names": channels}
    workspace.write_dataset_json(dataset_json)
    plans = workspace.read_plans()
    plans["image_reader_writer"] = NaturalImage2DIO.__name__
    intensities = plans["foreground_intensity_properties_per_channel"]["0"]
    plans["foreground_intensity_properties_per_channel"] = dict.fromkeys(channels, intensities)
    plans["configurations"]["2d"].update(
        data_identifier=f"{PLANS}_2d",
        normalization_schemes=["ZScoreNormalization"] * 3,
        use_mask_for_norm=[False] * 3,
        dycon=FULL_WEIGHTS_AT_ONCE,
    )
    workspace.write_plans(plans, PLANS)
    return PlansManager(plans), dataset_json


def test_rgb_images_in_two_dimensions(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]) -> None:
    plans, dataset_json = use_rgb_images(workspace)
    folder = workspace.preprocessed / f"{PLANS}_2d"
    folder.mkdir()
    for label in sorted((workspace.raw / "labelsTr").iterdir()):
        images = [str(workspace.raw / "imagesTr" / f"{label.stem}_0000.png")]
        arguments = (str(label), plans, plans.get_configuration("2d"), dataset_json)
        DefaultPreprocessor(verbose=False).run_case_save(str(folder / label.stem), images, *arguments)
    for label in (workspace.raw / "labelsTr").iterdir():
        shutil.copyfile(label, workspace.preprocessed / "gt_segmentations" / label.name)
    trainer = make_trainer(nnUNetTrainerDyCON, PLANS, "2d", num_epochs=1)
    train_and_predict(workspace, trainer, ".png")
    # Two views of three channels.
    assert next(trainer.unlabeled_stream)["data"].shape == (2, 6, 32, 32)


def test_a_grey_image_among_rgb_images_is_refused(workspace: Workspace) -> None:
    plans, dataset_json = use_rgb_images(workspace)
    file = workspace.raw / "imagesUnlabeled" / "demo_007_0000.png"
    io.imsave(file, io.imread(file)[..., 0], check_contrast=False)
    with pytest.raises(UserError, match=r"demo_007_0000\.png has 1 channel where dataset\.json declares 3"):
        prepare_unlabeled_data(plans, plans.get_configuration("2d"), dataset_json, [], 1)


def test_labeled_files_that_dataset_json_lists(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may lie anywhere and be named by variables; nothing but the unlabeled scans must be where it always is."""
    monkeypatch.setenv("SCANS", str(workspace.root / "scans"))
    listed = {}
    for number in range(6):
        case = f"demo_{number:03d}"
        folder = workspace.root / "scans" / case
        folder.mkdir(parents=True)
        shutil.move(workspace.raw / "imagesTr" / f"{case}_0000.nii.gz", folder / "mri.nii.gz")
        shutil.move(workspace.raw / "labelsTr" / f"{case}.nii.gz", folder / "labels.nii.gz")
        listed[case] = {"images": [f"$SCANS/{case}/mri.nii.gz"], "label": f"$SCANS/{case}/labels.nii.gz"}
    workspace.write_dataset_json({**workspace.read_dataset_json(), "dataset": listed})
    workspace.write_settings(PLANS, **FULL_WEIGHTS_AT_ONCE)
    train_and_predict(workspace, make_trainer(nnUNetTrainerDyCON, PLANS, num_epochs=1), ".nii.gz")
    shutil.copyfile(
        workspace.raw / "imagesUnlabeled" / "demo_006_0000.nii.gz",
        workspace.raw / "imagesUnlabeled" / "demo_005_0000.nii.gz",
    )
    with pytest.raises(UserError, match="demo_005: in imagesUnlabeled and, with a label"):
        make_trainer(nnUNetTrainerDyCON, PLANS, num_epochs=1).on_train_start()
